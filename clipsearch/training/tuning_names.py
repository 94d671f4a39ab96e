"""What is trained, by the name it has on the command line and in a run's settings."""

from clipsearch.errors import UsageError
from clipsearch.training.tuning import (
    LastBlocks,
    LockImage,
    LockText,
    Lora,
    Tune,
    TuneAll,
    TuneProjections,
)

NAMES = "all, projections, text, image, last:BLOCKS, last:BLOCKS:DECAY, lora, lora:RANK"
_PLAIN: dict[str, Tune] = {
    "all": TuneAll(),
    "projections": TuneProjections(),
    # The tower that is trained, as a person would say it; the other one is locked.
    "text": LockImage(),
    "image": LockText(),
    "lora": Lora(),
}


def tune_called(name: str) -> Tune:
    """The way of tuning that a person calls `name`. Raises UsageError for any other name."""
    if name in _PLAIN:
        return _PLAIN[name]
    kind, *numbers = name.split(":")
    try:
        if kind == "last" and len(numbers) in (1, 2):
            last = LastBlocks(int(numbers[0]), float(numbers[1]) if numbers[1:] else 1.0)
            if last.count >= 1 and 0 < last.layer_decay <= 1:
                return last
        if kind == "lora" and len(numbers) == 1 and (rank := int(numbers[0])) >= 1:
            # The usual proportion: what is learned is scaled by 2 whatever the rank.
            return Lora(rank, 2.0 * rank)
    except ValueError:
        pass
    raise UsageError(f"there is no way of tuning called {name!r}", f"There are {NAMES}")
