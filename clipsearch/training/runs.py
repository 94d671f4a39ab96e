"""A run is a directory.

settings.json      everything the run depends on, resolved
data.json          which photos it learns from: counts, parts and their fingerprint
photos.tsv         the part and the content of each photo
findings.tsv       what was wrong with the data, if anything was
views.safetensors  embeddings of the photos, when the image tower is locked
metrics.csv        a line for every reported step and every evaluation
curves.png         the same, drawn; mixing.png: between the original and the tuned weights
tensorboard/       the same, when asked for
report.json, .txt  what came of it
checkpoints/       the last two (see `states`)
best.safetensors   the trained tensors that did best on the validation part
original/          the model it began with: an open_clip directory
model/             the model it made: an open_clip directory
lock               held by the one process that trains here
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipsearch.errors import DamageError, UsageError
from clipsearch.training.precision import MeasuredPrecision
from clipsearch.training.whole_file import whole_file

METRIC_COLUMNS = (
    "step",
    "epoch",
    "loss",
    "learning_rate",
    "gradient_norm",
    "logit_scale",
    "pairs_per_second",
)


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """The names in a run's directory."""

    path: Path

    @property
    def settings(self) -> Path:
        """What the run depends on."""
        return self.path / "settings.json"

    @property
    def data(self) -> Path:
        """What it learns from."""
        return self.path / "data.json"

    @property
    def metrics(self) -> Path:
        """How it went, step by step."""
        return self.path / "metrics.csv"

    @property
    def curves(self) -> Path:
        """How it went, drawn."""
        return self.path / "curves.png"

    @property
    def report(self) -> Path:
        """What came of it, for programs; `report.txt` for people."""
        return self.path / "report.json"

    @property
    def report_text(self) -> Path:
        """What came of it, in words."""
        return self.path / "report.txt"

    @property
    def checkpoints(self) -> Path:
        """Where it stands."""
        return self.path / "checkpoints"

    @property
    def best(self) -> Path:
        """The best weights so far."""
        return self.path / "best.safetensors"

    @property
    def views(self) -> Path:
        """What a locked image tower makes of the photos."""
        return self.path / "views.safetensors"

    @property
    def original(self) -> Path:
        """The model it began with."""
        return self.path / "original"

    @property
    def model(self) -> Path:
        """The model it made."""
        return self.path / "model"

    @property
    def began(self) -> bool:
        """Whether a run was begun here."""
        return self.settings.is_file()

    @property
    def holds_work(self) -> bool:
        """Whether anything was learned here that another beginning would throw away."""
        saved = next(self.checkpoints.glob("*.safetensors"), None)
        return saved is not None or self.best.is_file() or self.finished

    @property
    def finished(self) -> bool:
        """Whether the run came to its end: the report is written last."""
        return self.report.is_file()


def write_whole(path: Path, data: bytes) -> None:
    """Write a small file so that a reader sees the old one or the new one."""
    with whole_file(path) as file:
        file.write(data)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a record as JSON, whole or not at all.

    Names of photos need not be Unicode: what is none becomes an escape, as JSON spells it.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    write_whole(path, text.encode(errors="backslashreplace"))


def read_json(path: Path) -> dict[str, Any]:
    """Read a record of a run. Raises DamageError when it cannot be read."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DamageError(
            f"{path} cannot be read: {error}", "Start the run anew with another --out"
        ) from error
    if not isinstance(value, dict):
        raise DamageError(f"{path} is no record of a run", "Start anew with another --out")
    return value


def fingerprint(*records: object) -> str:
    """SHA-256 (hex) over JSON values in one canonical spelling."""
    text = json.dumps(records, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def refuse_differences(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Make sure that a run goes on with what it was begun with.

    Raises UsageError naming what differs.
    """
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    if names:
        shown = "; ".join(
            f"{n} was {_short(before.get(n))}, is {_short(now.get(n))}" for n in names[:4]
        )
        raise UsageError(
            f"{path} was begun differently: {shown}",
            "Give the run another --out, or --force to go on all the same",
        )


def recorded_threads(settings: Path) -> int | None:
    """The number of threads a run was begun with; None when none was begun."""
    if not settings.is_file():
        return None
    threads = read_json(settings).get("basis", {}).get("threads")
    return threads if isinstance(threads, int) and threads > 0 else None


def recorded_precision(settings: Path) -> MeasuredPrecision | None:
    """What a run's measurement of precisions gave when it was begun; None when there was none."""
    measured = read_json(settings).get("measured_precision") if settings.is_file() else None
    if measured is None:
        return None
    try:
        return MeasuredPrecision(**measured)
    except TypeError as error:
        raise DamageError(
            f"{settings} is of another version or damaged ({error})",
            "Start the run anew with another --out",
        ) from error


def sha256_of(folder: Path) -> str:
    """SHA-256 (hex) over the names and contents of a directory's files."""
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{path.relative_to(folder).as_posix()}\0{content}\n".encode())
    return total.hexdigest()


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


class Metrics:
    """metrics.csv: lines are added as the run goes; what a resumed run does again is cut off."""

    def __init__(self, path: Path, columns: Iterable[str], step: int) -> None:
        """`columns` follow those of the steps; lines after `step` are removed."""
        self._path = path
        self._columns = (*METRIC_COLUMNS, *columns)
        kept = [row for row in read_metrics(path) if int(row["step"]) <= step]
        write_whole(path, self._lines([dict.fromkeys(self._columns), *kept], titles=True))

    def add(self, values: Mapping[str, object]) -> None:
        """One line; columns without a value stay empty."""
        with self._path.open("ab") as file:
            file.write(self._lines([values]))

    def _lines(self, rows: Iterable[Mapping[str, object]], titles: bool = False) -> bytes:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        for i, row in enumerate(rows):
            cells = (
                self._columns if titles and i == 0 else [_cell(row.get(c)) for c in self._columns]
            )
            writer.writerow(cells)
        return text.getvalue().encode()


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def read_metrics(path: Path) -> list[dict[str, str]]:
    """The lines of metrics.csv; [] when there is none. A line cut short by a kill is left out."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row for row in rows if None not in row.values() and row["step"].isdigit()]
