"""What `finetune` and `train` ask for, from their options to how they end."""

import os
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clipsearch.cli.arguments import refuse_empty
from clipsearch.cli.checked_shown import ShownCheck
from clipsearch.cli.escape import visible
from clipsearch.cli.failures import INTERRUPTED
from clipsearch.cli.output import note, say, say_json
from clipsearch.cli.progress import showing_progress
from clipsearch.cli.training_shown import Shown
from clipsearch.errors import UsageError

if TYPE_CHECKING:
    from clipsearch.finetuning import Finished, Kind, Outcome, Request, Stopped, Wishes

NO_BETTER = 1


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a run begins with: a model's name, or an architecture with random weights."""

    model: str | None = None
    architecture: str | None = None

    @property
    def name(self) -> str:
        """What a person called it."""
        return self.model or self.architecture or ""


def new_request(
    kind: "Kind",
    wishes: "Wishes",
    *,
    begins_with: Beginning,
    data: str | None,
    library: str | None,
    photos: str | None,
    out: str | None,
    retain: str | None = None,
) -> "Request":
    """The request for a new run. Raises UsageError unless there is one thing to learn from."""
    from clipsearch.finetuning import Request

    _require_one_source(data, library)
    return Request(
        kind=kind,
        run=_out_directory(out, kind, begins_with.name, data or library or ""),
        data=None if data is None else Path(data),
        library=None if library is None else Path(library),
        model=begins_with.model,
        architecture=begins_with.architecture,
        photo_root=photos,
        wishes=wishes,
        retain=None if retain is None else Path(retain),
    )


def resumed_request(run: str, wishes: "Wishes") -> "Request":
    """The request that a run was begun with. Raises UsageError when none was begun there."""
    from clipsearch.finetuning import resumed

    refuse_empty("the run's name after --resume", run)
    return resumed(_absolute(run), wishes)


def _absolute(path: str) -> Path:
    return Path(os.path.abspath(os.path.expanduser(path)))


def _out_directory(given: str | None, kind: str, model: str, source: str) -> Path:
    """Where the run goes: what was given, else a name that the same command always gives."""
    refuse_empty("the run's name after --out", given)
    if given:
        return _absolute(given)
    parts = [kind, os.path.basename(model.rstrip("/")), Path(source.rstrip("/")).stem]
    name = re.sub(r"[^\w.-]+", "-", "-".join(parts))
    return _absolute(name)


def follow(request: "Request", *, check_only: bool, json: bool, quiet: bool) -> int:
    """Do what was asked for, showing how it goes; the exit code."""
    from clipsearch.finetuning import check, run
    from clipsearch.storage.layout import models_dir

    show = Shown(json=json, quiet=quiet)
    with showing_progress(json=json, quiet=quiet) as progress:
        show.bars = progress if not json and not quiet and sys.stderr.isatty() else None
        if check_only:
            found = ShownCheck(json=json)
            with tempfile.TemporaryDirectory(prefix="clipsearch-check-") as scratch:
                check(request, models_dir(), Path(scratch), found, progress)
            return 0
        outcome = run(request, models_dir(), show, progress)
    return _ended(request, outcome, json=json)


def _ended(request: "Request", outcome: "Outcome", *, json: bool) -> int:
    from clipsearch.finetuning import Followed, Stopped

    if isinstance(outcome, Followed):
        return 0
    if isinstance(outcome, Stopped):
        return _stopped(request, outcome, json=json)
    return _finished(request, outcome, json=json)


def _stopped(request: "Request", stopped: "Stopped", *, json: bool) -> int:
    go_on = f"clipsearch {request.kind} --resume {_quoted(stopped.run)}"
    if json:
        say_json(
            {
                "event": "stopped",
                "run": str(stopped.run),
                "step": stopped.step,
                "steps": stopped.steps,
            }
        )
    note(
        f"clipsearch: interrupted after step {stopped.step:,} of {stopped.steps:,}, which is "
        f"saved. Go on with: {go_on}"
    )
    return INTERRUPTED


def _finished(request: "Request", finished: "Finished", *, json: bool) -> int:
    run = _quoted(finished.run)
    if json:
        say_json({"event": "finished", "run": str(finished.run), **finished.record})
    else:
        if finished.was_before:
            note("clipsearch: this run had come to its end before; --out gives another one.")
        for line in finished.text.splitlines():
            say(visible(line))
        say()
        if finished.helped:
            say(f"Use it:    clipsearch index --model {run}")
            say("           encodes your photos with it, beside what is there now")
            if request.model is not None:
                say(f"Go back:   clipsearch index --model {visible(request.model)}")
        else:
            say("More photos, other captions or another --tune may change that.")
    return 0 if finished.helped else NO_BETTER


def _quoted(path: Path) -> str:
    import shlex

    return visible(shlex.quote(str(path)))


def _require_one_source(data: str | None, library: str | None) -> None:
    """Raise UsageError unless exactly one thing to learn from is given."""
    refuse_empty("the name of the data", data)
    if data is None and library is None:
        raise UsageError(
            "say what to learn from",
            "Name a table of photos and captions, a folder or a .tar; or --library DIR",
        )
    if data is not None and library is not None:
        raise UsageError("DATA and --library are given together", "Choose one of them")
