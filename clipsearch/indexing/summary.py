"""What an index run did, in numbers that add up."""

from collections import Counter
from dataclasses import dataclass, field

from clipsearch.errors import NotPhoto, PhotoError, PhotoGone
from clipsearch.types import PhotoProblem

# Problems of files that are no photos and never claimed to be: not worth a warning.
NOT_A_PHOTO = NotPhoto.kind
# A file that went away between listing and opening is no fault of anybody.
GONE = PhotoGone.kind
# The file system did not give the bytes: nothing is known about the photo itself.
UNREADABLE = PhotoError.kind


@dataclass(frozen=True, slots=True)
class RootReport:
    """One root in one run. `state` is "scanned", "offline", "other-volume" or "held".

    "held" means that so many photos were gone, or all of a disk inside the root, that nothing was
    recorded as missing.
    """

    path: bytes
    state: str
    absent: int = 0


@dataclass(slots=True)
class Tally:
    """The counters of a run while it goes on."""

    found: int = 0
    unchanged: int = 0
    restored: int = 0
    new: int = 0
    changed: int = 0
    reencoded: int = 0
    encoded: int = 0
    moved: int = 0
    missing: int = 0
    ignored: int = 0
    problems: Counter[str] = field(default_factory=Counter)
    fresh_problems: list[PhotoProblem] = field(default_factory=list)
    folder_problems: list[PhotoProblem] = field(default_factory=list)
    roots: list[RootReport] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class IndexSummary:
    """What an index run did.

    `found` = `unchanged` + `restored` + `new` + `changed` + `reencoded` + `moved` + `other_files`
    + `gone` + the sum of `problems` + `remaining`. `new` counts photos (copies of known content
    included), `reencoded` unchanged photos that this model did not know yet, `encoded` the contents
    that went through the image tower. `problems` counts every file with
    a problem by kind, also those unchanged since an earlier run; `fresh_problems` are this run's.
    """

    model: str
    found: int
    unchanged: int
    restored: int
    new: int
    changed: int
    reencoded: int
    moved: int
    encoded: int
    missing: int
    ignored: int
    other_files: int
    gone: int
    remaining: int
    problems: dict[str, int]
    fresh_problems: tuple[PhotoProblem, ...]
    folder_problems: tuple[PhotoProblem, ...]
    roots: tuple[RootReport, ...]
    unencoded: int
    model_activated: bool
    interrupted: bool
    seconds: float

    @property
    def complete(self) -> bool:
        """Nothing failed, nothing was held back, nothing is left to do."""
        return not (
            self.problems
            or self.folder_problems
            or self.interrupted
            or self.unencoded
            or any(root.state != "scanned" for root in self.roots)
        )


def summarise(
    tally: Tally,
    model: str,
    *,
    remaining: int,
    unencoded: int,
    model_activated: bool,
    interrupted: bool,
    seconds: float,
) -> IndexSummary:
    """Freeze the counters of a finished (or interrupted) run."""
    problems = dict(tally.problems)
    other_files = problems.pop(NOT_A_PHOTO, 0)
    gone = problems.pop(GONE, 0)
    return IndexSummary(
        model=model,
        found=tally.found,
        unchanged=tally.unchanged,
        restored=tally.restored,
        new=tally.new - tally.moved,
        changed=tally.changed,
        reencoded=tally.reencoded,
        moved=tally.moved,
        encoded=tally.encoded,
        missing=tally.missing,
        ignored=tally.ignored,
        other_files=other_files,
        gone=gone,
        remaining=remaining,
        problems=problems,
        fresh_problems=tuple(tally.fresh_problems),
        folder_problems=tuple(tally.folder_problems),
        roots=tuple(tally.roots),
        unencoded=unencoded,
        model_activated=model_activated,
        interrupted=interrupted,
        seconds=seconds,
    )
