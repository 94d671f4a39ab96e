"""A run from a request to its end: the first process leads, others follow."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from clipsearch.finetuning.asking import Followed, Outcome, Remark, Request, Stopped, Tell
from clipsearch.finetuning.assembling import assemble
from clipsearch.finetuning.course import Course, Office
from clipsearch.finetuning.finishing import finished_before
from clipsearch.finetuning.gathering import Parts
from clipsearch.finetuning.logbook import Logbook
from clipsearch.finetuning.places import (
    clear_unless_begun,
    make_directory,
    require_own_directory,
    require_standing,
)
from clipsearch.finetuning.preparing import follow, gathered, prepare
from clipsearch.finetuning.settings import Settings, require_processes
from clipsearch.finetuning.wording import said_of
from clipsearch.finetuning.yardstick import yardstick_of
from clipsearch.storage.lock import writer_lock
from clipsearch.types import CaptionedPhoto, Progress, no_progress

if TYPE_CHECKING:
    from clipsearch.training.processes import Worker
    from clipsearch.training.runs import RunDirectory


def run(
    request: Request, models_dir: Path, tell: Tell, progress: Progress = no_progress
) -> Outcome:
    """Train, or go on where a run stands, until its report is written or Ctrl-C.

    Raises UsageError for a request that cannot be, also for a run that was begun differently;
    ClipsearchError naming the photos of a batch whose loss is no number; LockedError; DamageError
    for a damaged checkpoint; OSError when the disk is full, with all that was saved intact.
    """
    from clipsearch.training.processes import joined_workers
    from clipsearch.training.runs import RunDirectory

    directory = RunDirectory(request.run)
    with joined_workers() as worker:
        if worker.rank > 0:
            # A Ctrl-C reaches every process; the first one saves and answers it.
            with suppress(KeyboardInterrupt):
                _follow(request, directory, worker)
            return Followed()
        require_own_directory(request.run)
        require_processes(request.wishes, worker.world)
        photos = gathered(request)
        made_now = make_directory(request.run)
        with writer_lock(request.run, "training run"):
            require_standing(request.run)
            try:
                return _lead(request, photos, directory, worker, models_dir, tell, progress)
            except BaseException:
                clear_unless_begun(directory, made_now=made_now)
                raise


def _lead(
    request: Request,
    photos: Sequence[CaptionedPhoto],
    directory: "RunDirectory",
    worker: "Worker",
    models_dir: Path,
    tell: Tell,
    progress: Progress,
) -> Outcome:
    from clipsearch.training.processes import first_says

    prepared = prepare(request, photos, directory, worker, models_dir, tell, progress)
    finished = directory.finished and not request.force
    first_says(None if finished else (prepared.settings, prepared.parts))
    if finished:
        return finished_before(directory)
    # Of a finished run that goes on: were it stopped now, it would be taken for finished again.
    directory.report.unlink(missing_ok=True)
    logbook = Logbook(directory, tell, tensorboard=request.tensorboard)
    # Before anything is changed: what it has to be better than.
    yardstick = yardstick_of(prepared, prepared.loaded.model.to(worker.device))
    assembly = assemble(prepared, progress)
    if assembly.words is not None:
        tell(Remark(said_of(assembly.words)))
    course = Course(prepared, assembly, Office(yardstick, logbook))
    try:
        course.train()
        trained = True
    except KeyboardInterrupt:
        course.interrupted()
        trained = False
    finally:
        logbook.close()
    if trained:
        # Every step is saved by now: interrupted, what follows is done again.
        with suppress(KeyboardInterrupt):
            return course.finish(progress)
    return Stopped(request.run, course.steps, course.saved_step)


def _follow(request: Request, directory: "RunDirectory", worker: "Worker") -> None:
    """The part of every other process: it takes its share of each step and says nothing."""
    from clipsearch.training.processes import first_says

    nothing: tuple[Settings, Parts] | None = None
    said = first_says(nothing)
    if said is None:
        return
    prepared = follow(request, directory, worker, *said)
    prepared.loaded.model.to(worker.device)
    Course(prepared, assemble(prepared, no_progress), None).train()
