"""What stands before the first step: photos looked through and divided, everything settled."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clipsearch.errors import ClipsearchError, UsageError
from clipsearch.finetuning.asking import Checked, Request, Tell
from clipsearch.finetuning.beginning import fetch_original, write_down
from clipsearch.finetuning.gathering import Parts, divide, gather, gather_retained, look_through
from clipsearch.finetuning.measuring import Seeing
from clipsearch.finetuning.precision import precision_that_pays
from clipsearch.finetuning.settings import (
    Circumstances,
    Settings,
    known_precision,
    known_views,
    part_shares,
    resolve,
)
from clipsearch.pairs.inspecting import (
    DataReport,
    is_too_bad,
    name_of_all,
    refuse_if_alike,
    refuse_if_bad,
    write_findings,
)
from clipsearch.pairs.sources import looks_like_photo
from clipsearch.types import CaptionedPhoto, Floats, Pixels, Progress

if TYPE_CHECKING:
    from clipsearch.encoders.openclip import LoadedModel
    from clipsearch.training.processes import Worker
    from clipsearch.training.runs import RunDirectory

# Photos compared with each other that are encoded between two signs of progress.
_COMPARED_AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything that stands before the first step of one process.

    `fingerprint` names what the run depends on; only the first process knows it.
    """

    request: Request
    directory: "RunDirectory"
    worker: "Worker"
    loaded: "LoadedModel"
    settings: Settings
    parts: Parts
    seeing: Seeing
    fingerprint: str

    @property
    def leads(self) -> bool:
        """Whether this is the first process, the only one that judges, saves and speaks."""
        return self.worker.rank == 0


def check(
    request: Request, models_dir: Path, scratch: Path, tell: Tell, progress: Progress
) -> DataReport:
    """Only look through the data, with the model's eyes; nothing is trained.

    Raises UsageError, after it is told what was found, where a run would be refused.
    """
    from clipsearch.training import tuning
    from clipsearch.training.tuning_names import tune_called

    photos = gathered(request)
    fetch_original(request, scratch / "original", models_dir, progress)
    loaded = load(scratch / "original")
    report = _inspected(request, photos, loaded, tell, progress)
    refuse_if_bad(report, _remedy(report, "Mend them or leave them out: nothing would be trained"))
    refuse_if_alike(report)
    _divided(request, report, loaded, seeing_of(loaded), tell, progress)
    if request.wishes.tune is not None:
        # Some ways of tuning need more than a model has.
        tuning.prepare(loaded.model, tune_called(request.wishes.tune))
    return report


def gathered(request: Request) -> list[CaptionedPhoto]:
    """The photos that a request names; all that can be wrong with it by itself is said here.

    Raises UsageError, before anything is fetched, read or written for it.
    """
    from clipsearch.training.losses import make_loss
    from clipsearch.training.tuning_names import tune_called

    wishes = request.wishes
    known_precision(wishes)
    known_views(wishes)
    if wishes.loss is not None:
        make_loss(wishes.loss)
    if wishes.tune is not None:
        tune_called(wishes.tune)
    if wishes.anchor and wishes.tune == "image":
        raise UsageError(
            "--anchor holds the text tower, which --tune image leaves as it is",
            "Leave out one of them",
        )
    if request.retain is not None:
        gather_retained(request.retain)
    return gather(request.data, request.library, request.photo_root)


def prepare(
    request: Request,
    photos: Sequence[CaptionedPhoto],
    directory: "RunDirectory",
    worker: "Worker",
    models_dir: Path,
    tell: Tell,
    progress: Progress,
) -> Prepared:
    """Fetch the model, look through the data, and write down what the run depends on.

    `photos`: those that the request names, see `gathered`.
    """
    from clipsearch.training.runs import sha256_of

    fetch_original(request, directory.original, models_dir, progress)
    loaded = load(directory.original)
    loaded.model.to(worker.device)
    report = _inspected(request, photos, loaded, tell, progress)
    findings = str(request.run / "findings.tsv")
    if report.findings:
        write_findings(report, findings)
    refuse_if_bad(report, _remedy(report, f"All of them are listed in {findings}"))
    refuse_if_alike(report)
    seeing = seeing_of(loaded)
    parts = _divided(request, report, loaded, seeing, tell, progress)
    measured = precision_that_pays(request, loaded, seeing, parts, worker)
    pays = measured is not None and measured.precision == "bf16"
    settings = _settled(request, loaded, parts, worker, bfloat16=pays)
    digest = sha256_of(directory.original)
    fingerprint = write_down(request, settings, parts, digest, measured)
    return Prepared(request, directory, worker, loaded, settings, parts, seeing, fingerprint)


def follow(
    request: Request,
    directory: "RunDirectory",
    worker: "Worker",
    settings: Settings,
    parts: Parts,
) -> Prepared:
    """What the first process has prepared and said, in every other one."""
    loaded = load(directory.original)
    return Prepared(request, directory, worker, loaded, settings, parts, seeing_of(loaded), "")


def load(folder: Path) -> "LoadedModel":
    """The model of an open_clip directory, in torch."""
    from clipsearch.encoders.openclip import load_model

    return load_model(folder)


def seeing_of(loaded: "LoadedModel") -> Seeing:
    """How that model takes photos and texts."""
    from clipsearch.training.tokens import tokenize_with

    return Seeing(tokenize_with(loaded.tokenizer, loaded.context_length), loaded.preprocess)


def _inspected(
    request: Request,
    photos: Sequence[CaptionedPhoto],
    loaded: "LoadedModel",
    tell: Tell,
    progress: Progress,
) -> DataReport:
    from clipsearch.training.tokens import too_long_for

    too_long = too_long_for(loaded.tokenizer, loaded.context_length)
    report = look_through(photos, loaded.preprocess, too_long, request.workers, progress)
    if is_too_bad(report) or name_of_all(report) is not None:
        tell(Checked(report, 0, None))
    return report


def _remedy(report: DataReport, usual: str) -> str:
    """What to do about data that is too bad: when nothing is there, it is most likely elsewhere."""
    missing = [finding.photo for finding in report.findings if finding.kind == "missing"]
    if missing and len(missing) == report.listed:
        if any("://" in name for name in missing):
            return "Photos are not fetched from the web: download them, and name the files"
        if not any(looks_like_photo(name) for name in missing):
            return "These are no names of photos: are the columns the wrong way round?"
        return "If the photos lie elsewhere, say where: --photos DIR"
    return usual


def _divided(
    request: Request,
    report: DataReport,
    loaded: "LoadedModel",
    seeing: Seeing,
    tell: Tell,
    progress: Progress,
) -> Parts:
    from clipsearch.training.encoding import HeldOut, encode_photos

    def embed(photos: Sequence[CaptionedPhoto]) -> Floats:
        progress("compare", 0, len(photos))
        rows = []
        for start in range(0, len(photos), _COMPARED_AT_ONCE):
            some = photos[start : start + _COMPARED_AT_ONCE]
            held_out = HeldOut(some, pixels_of(seeing), workers=request.workers, keep_bytes=0)
            found, numbers = encode_photos(loaded.model, seeing.preprocess, held_out)
            if len(numbers) != len(some):
                raise ClipsearchError(
                    "a photo changed while the data was looked through", "Try again"
                )
            rows.append(found)
            progress("compare", start + len(some), len(photos))
        return np.concatenate(rows)

    shares = part_shares(request.wishes, len(report.photos))
    seed = request.wishes.resolved_seed
    knows = request.model is not None
    try:
        parts, alike = divide(report, shares, seed, embed if knows else None)
    except UsageError:
        tell(Checked(report, 0, None))
        raise
    tell(Checked(report, alike, parts.sizes))
    return parts


def pixels_of(seeing: Seeing) -> Callable[[bytes], Pixels]:
    """A file's bytes to the pixels of the image tower, as the finished program decodes them."""
    from clipsearch.photos.opening import decode

    return lambda data: decode(data, seeing.preprocess)[1]


def _settled(
    request: Request, loaded: "LoadedModel", parts: Parts, worker: "Worker", *, bfloat16: bool
) -> Settings:
    """Every setting of the run: asked for, recorded before, or decided by what was found."""
    from clipsearch.training.processes import thread_count
    from clipsearch.training.runs import RunDirectory, recorded_threads
    from clipsearch.training.shipping import parameter_count

    before = recorded_threads(RunDirectory(request.run).settings)
    found = Circumstances(
        photos=len(parts.learned),
        usable=len(parts.photos),
        parameters=parameter_count(loaded.model),
        device=worker.device.type,
        bfloat16=bfloat16,
        threads=before or thread_count(),
        world=worker.world,
        is_retention_measured=request.retain is not None,
    )
    return resolve(request.kind, request.wishes, found)
