"""Training a model on a person's own photos, and the proof that it helped.

`run` trains (or goes on), `check` only looks through the data, `resumed` takes up what was begun.
Whatever imports torch is imported when it is needed, never with this package.
"""

from clipsearch.finetuning.asking import (
    Began,
    Checked,
    Event,
    Finished,
    Followed,
    Judged,
    Outcome,
    Remark,
    Request,
    Stopped,
    Trained,
)
from clipsearch.finetuning.beginning import resumed
from clipsearch.finetuning.preparing import check
from clipsearch.finetuning.running import run
from clipsearch.finetuning.settings import Kind, Settings, Wishes

__all__ = [
    "Began",
    "Checked",
    "Event",
    "Finished",
    "Followed",
    "Judged",
    "Kind",
    "Outcome",
    "Remark",
    "Request",
    "Settings",
    "Stopped",
    "Trained",
    "Wishes",
    "check",
    "resumed",
    "run",
]
