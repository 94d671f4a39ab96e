"""What is asked of a run, and what it tells while it goes."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipsearch.errors import UsageError
from clipsearch.finetuning.settings import Kind, Settings, Wishes
from clipsearch.pairs.inspecting import DataReport

# At most so much is done again after a kill.
SAVE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Request:
    """What a person wants trained.

    `run`: its directory. `data`: a table, folder or archive; or a `library` with folders as labels.
    `model` is a model's name; or, from nothing, `architecture` one of open_clip's. `photo_root` is
    the folder that a table's relative paths begin at. `retain`: photos in labelled folders on which
    forgetting is measured instead of estimated. `force` goes on with a run although data,
    settings or version differ from those it was begun with. `save_seconds`: how often it is
    written down where training stands; at the end, and on Ctrl-C, it is in any case.
    """

    kind: Kind
    run: Path
    data: Path | None
    library: Path | None
    model: str | None
    architecture: str | None
    photo_root: str | None
    wishes: Wishes
    retain: Path | None = None
    force: bool = False
    tensorboard: bool = False
    workers: int = 2
    save_seconds: float = SAVE_SECONDS

    def __post_init__(self) -> None:
        """Raise UsageError for a time that is no number."""
        if not math.isfinite(self.save_seconds):
            raise UsageError(
                f"--save-every {self.save_seconds} is no number to work with", "Give another"
            )


@dataclass(frozen=True, slots=True)
class Checked:
    """The data was looked through; `parts` is None when nothing can be learned from it."""

    report: DataReport
    near_duplicates: int
    parts: tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class Began:
    """Training begins, or goes on after `step` steps.

    `parts`: how many photos are learned from, judged by, and tested on.
    """

    settings: Settings
    parts: tuple[int, int, int]
    step: int
    steps: int


@dataclass(frozen=True, slots=True)
class Trained:
    """Where training stands. `seconds_left` until its last step, without what follows."""

    step: int
    steps: int
    epoch: float
    loss: float
    learning_rate: float
    pairs_per_second: float
    seconds_left: float


@dataclass(frozen=True, slots=True)
class Judged:
    """What the validation part says after an epoch; epoch 0 is the original.

    `score_name`: what the score is: mean recall, accuracy, or both.
    """

    epoch: int
    score: float
    score_name: str
    is_best: bool


@dataclass(frozen=True, slots=True)
class Remark:
    """Something a person should know."""

    text: str


Event = Checked | Began | Trained | Judged | Remark
Tell = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Finished:
    """The run came to its end. `helped` is False when the original was kept; `text` is the report.

    `was_before`: it had come to its end before, and nothing was done.
    """

    run: Path
    helped: bool
    text: str
    record: Mapping[str, Any]
    was_before: bool = False


@dataclass(frozen=True, slots=True)
class Stopped:
    """Ctrl-C: everything up to `step` of `steps` is saved."""

    run: Path
    steps: int
    step: int = 0


@dataclass(frozen=True, slots=True)
class Followed:
    """This process took part in a training that another one tells of."""


Outcome = Finished | Stopped | Followed
