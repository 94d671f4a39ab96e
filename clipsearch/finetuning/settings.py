"""What a run depends on: asked for by a person, or decided by what there is to learn from."""

import math
from dataclasses import asdict, dataclass
from typing import Literal

from clipsearch.errors import UsageError

Kind = Literal["finetune", "train"]
Precision = Literal["fp32", "bf16"]
ViewsOf = Literal["photo", "label"]
# torch takes no more.
_HIGHEST_SEED = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a person asked for; None leaves the decision to `resolve`."""

    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    weight_decay: float | None = None
    loss: str | None = None
    tune: str | None = None
    views: float | None = None
    views_of: str | None = None
    chunk: int | None = None
    accumulate: int | None = None
    recompute: bool | None = None
    precision: str | None = None
    average: float | None = None
    anchor: float | None = None
    words: float | None = None
    forgetting: float | None = None
    validation: float | None = None
    test: float | None = None
    seed: int | None = None
    threads: int | None = None
    shard: bool | None = None

    def __post_init__(self) -> None:
        """Raise UsageError for what is no number, and for a rate that learns nothing."""
        for name, value in asdict(self).items():
            option = "--" + name.replace("_", "-")
            if isinstance(value, float) and not math.isfinite(value):
                raise UsageError(f"{option} {value} is no number to work with", "Give another")
        if self.seed is not None and not 0 <= self.seed <= _HIGHEST_SEED:
            raise UsageError(
                f"--seed {self.seed} is out of range", f"Give a number from 0 to {_HIGHEST_SEED}"
            )
        if self.learning_rate is not None and self.learning_rate <= 0:
            raise UsageError(
                f"--learning-rate {self.learning_rate:g} learns nothing",
                "Give a rate above 0, or none: it is chosen by the model",
            )

    @property
    def resolved_seed(self) -> int:
        """The seed asked for, or the usual one: of weights, of the division and of training."""
        return 1 if self.seed is None else self.seed


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that decides which weights come out, as it is written to settings.json.

    `epochs` over the photos learned from; `batch_size` pairs over all processes; `learning_rate`
    the highest; `warmup` the share of steps with a rising one; `tune` what is trained; `views` the
    weight of the loss between two views (0: none), `views_of` one photo or photos with one label;
    `chunk` pairs of a batch that are computed at
    once (0: all); `accumulate` batches a step; `recompute` activations instead of keeping them;
    `precision` of the towers; `average` the decay of the weights' average (0: none);
    `anchor`: the weight of the loss that holds general prompts where they were (0: none);
    `words`: that of the loss that teaches what the captions' words mean by themselves (0: none),
    and `pairs_beside_words` what the pairs' loss, else 1, counts beside it;
    `stored_views`: how often each photo is encoded before training, when the image tower is locked
    (0: photos are encoded in each step); `judge_every` so many epochs;
    `frozen_norms` keep running means as they are; `forgetting` the most that may be lost of what
    the data does not cover; `validation` and `test` shares of the photos; `shard`: each of the
    `world` processes keeps a share of the weights.
    """

    kind: Kind
    epochs: int
    batch_size: int
    learning_rate: float
    warmup: float
    weight_decay: float
    gradient_clip: float
    loss: str
    tune: str
    views: float
    views_of: ViewsOf
    chunk: int
    accumulate: int
    recompute: bool
    precision: Precision
    average: float
    anchor: float
    words: float
    pairs_beside_words: float
    stored_views: int
    judge_every: int
    frozen_norms: bool
    forgetting: float
    validation: float
    test: float
    seed: int
    threads: int
    device: str
    world: int
    shard: bool


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What defaults are decided by: `photos` to learn from, of `usable` ones; `parameters`; the
    machine.

    `bfloat16`: whether it makes this model's steps faster here.
    """

    photos: int
    usable: int
    parameters: int
    device: str
    bfloat16: bool
    threads: int
    world: int
    is_retention_measured: bool = False


# Up to this many parameters a model is small: trained fast, and with higher rates.
_SMALL = 20_000_000
# Above this many a whole batch of activations may not fit beside everything else in 12 GB. A chunk
# that is smaller than the batch costs a second forward pass, so it is as large as memory allows:
# 128 pairs of ViT-B-32 (151 million) in bfloat16 take 6 GB with captions of 30 tokens, 8 with the
# longest.
_LARGE = 60_000_000
_LARGE_CHUNKS: dict[Precision, int] = {"fp32": 64, "bf16": 128}
_HUGE = 200_000_000
_HUGE_CHUNK = 16
# Below this many photos a whole model only learns them by heart.
_FEW = 5_000
# A small model learns a few hundred photos in about so many steps.
_STEPS = 360
_VIEWS = 8
# At full weight the pairs' loss learned the captions of 420 photos by heart, and found fewer
# captions for others.
_PAIRS_BESIDE_WORDS = 0.1
_MOST_VIEWS = 20_000
_MOST_JUDGED = 30


def is_large(parameters: int) -> bool:
    """Whether a model of so many parameters has steps of seconds, and activations of gigabytes."""
    return parameters > _LARGE


def part_shares(wishes: Wishes, usable: int) -> tuple[float, float]:
    """Shares of validation and test photos: with few photos more, or they would say nothing.

    Raises UsageError when nothing would be left to learn from.
    """
    default = (0.1, 0.15) if usable < 5000 else (0.05, 0.05)
    validation = default[0] if wishes.validation is None else wishes.validation
    test = default[1] if wishes.test is None else wishes.test
    if not (0 < validation < 1 and 0 < test < 1 and validation + test < 0.9):
        raise UsageError(
            f"shares of {validation:g} for validation and {test:g} for testing leave too little",
            "Give shares such as 0.1 and 0.2: models are judged on photos they did not learn from",
        )
    return validation, test


def resolve(kind: Kind, wishes: Wishes, found: Circumstances) -> Settings:
    """Decide what was not asked for.

    Sources of the defaults: CLIP's constants for AdamW (betas .9 and .98, eps 1e-6); learning rates
    for fine-tuning from FLYP, WiSE-FT and CLIP-LoRA; warm-up as a share, since open_clip's 10,000
    steps are more than a small run has. With few photos the image tower is locked and the text
    tower anchored: on 560 captioned photos it was the only way of `starter` that gained much and
    forgot next to nothing. The weights of the texts' two losses were chosen on its validation
    photos, anchor/words: 20/0 reached a mean recall of 22.0 %, 20/10 24.6 % (both at half of the
    rate), 60/10 28.3 %, 60/30 30.6 %, 120/30 31.6 % while it forgot less; for the fifth edition of
    `starter` 240/30 was better than 120/30. With words compared by the scores of photos, 90/30 and
    600/30 were no better than that (one run each).
    """
    few = kind == "finetune" and found.photos < _FEW
    tune = wishes.tune or ("text" if few else "all")
    validation, test = part_shares(wishes, found.usable)
    precision = known_precision(wishes) or ("bf16" if found.bfloat16 else "fp32")
    views = wishes.views or 0.0
    batch_size = wishes.batch_size or _batch_size(kind, tune, found)
    epochs = wishes.epochs or _epochs(kind, tune, batch_size, found)
    stores_views = tune == "text" and not views
    return Settings(
        kind=kind,
        epochs=_positive("--epochs", epochs),
        batch_size=_positive("--batch-size", batch_size),
        learning_rate=wishes.learning_rate or _learning_rate(kind, tune, found),
        warmup=0.05,
        weight_decay=0.1 if wishes.weight_decay is None else wishes.weight_decay,
        gradient_clip=1.0,
        loss=wishes.loss or "unicl",
        tune=tune,
        views=views,
        views_of=known_views(wishes) or "photo",
        chunk=_chunk(found, precision) if wishes.chunk is None else wishes.chunk,
        accumulate=wishes.accumulate or 1,
        recompute=bool(wishes.recompute),
        precision=precision,
        average=wishes.average or 0.0,
        anchor=_anchor(kind, tune, found) if wishes.anchor is None else wishes.anchor,
        words=(30.0 if stores_views else 0.0) if wishes.words is None else wishes.words,
        pairs_beside_words=_PAIRS_BESIDE_WORDS,
        stored_views=_stored_views(epochs, found.photos) if stores_views else 0,
        judge_every=max(1, -(-epochs // _MOST_JUDGED)),
        frozen_norms=kind == "finetune",
        forgetting=_most_forgetting(wishes, found),
        validation=validation,
        test=test,
        seed=wishes.resolved_seed,
        threads=wishes.threads or found.threads,
        device=found.device,
        world=found.world,
        shard=bool(wishes.shard),
    )


def _positive(option: str, chosen: int) -> int:
    if chosen < 1:
        raise UsageError(f"{option} {chosen} is no number of anything", "Give 1 or more")
    return chosen


def _most_forgetting(wishes: Wishes, found: Circumstances) -> float:
    from clipsearch.training.retention import MOST_ESTIMATED, MOST_LOST

    if wishes.forgetting is not None:
        return wishes.forgetting
    return MOST_LOST if found.is_retention_measured else MOST_ESTIMATED


def _anchor(kind: Kind, tune: str, found: Circumstances) -> float:
    """A small text tower that learns fast is held more firmly."""
    if kind == "train" or tune == "image":
        return 0.0
    return 240.0 if tune == "text" and found.parameters <= _SMALL else 20.0


def _stored_views(epochs: int, photos: int) -> int:
    """More views are more to learn from, and each costs a pass over all photos."""
    return max(1, min(_VIEWS, epochs, _MOST_VIEWS // max(1, photos)))


def _chunk(found: Circumstances, precision: Precision) -> int:
    if found.parameters > _HUGE:
        return _HUGE_CHUNK
    return _LARGE_CHUNKS[precision] if is_large(found.parameters) else 0


def known_precision(wishes: Wishes) -> Precision | None:
    """The precision asked for, None when it was left open. Raises UsageError for any other name."""
    match wishes.precision:
        case None | "fp32" | "bf16" as known:
            return known
    raise UsageError(f"there is no precision {wishes.precision!r}", "There are fp32 and bf16")


def known_views(wishes: Wishes) -> ViewsOf | None:
    """Whose views were asked for, None when it was left open. Raises UsageError for other names."""
    match wishes.views_of:
        case None | "photo" | "label" as known:
            return known
    raise UsageError(f"there are no views of a {wishes.views_of!r}", "There are photo and label")


def require_processes(wishes: Wishes, world: int) -> None:
    """Raise UsageError when weights are to be shared out and there is only one process."""
    if wishes.shard and world == 1:
        raise UsageError(
            "--shard shares a model out over processes, and there is one",
            "Start several: torchrun --nproc-per-node 2 -m clipsearch ...",
        )


def _batch_size(kind: Kind, tune: str, found: Circumstances) -> int:
    if kind == "finetune" and tune == "text":
        # Texts alone take little memory, and more of them at once are more negatives.
        return max(2, min(512, -(-found.photos // 2)))
    most = 128 if kind == "finetune" else 256
    return max(2, min(most, found.photos))


def _epochs(kind: Kind, tune: str, batch_size: int, found: Circumstances) -> int:
    if kind == "train":
        return 30
    if found.parameters <= _SMALL and tune == "text":
        steps_per_epoch = max(1, -(-found.photos // batch_size))
        return max(10, -(-_STEPS // steps_per_epoch))
    if found.photos < 2_000:
        return 20 if found.parameters <= _SMALL else 10
    return 10 if found.photos < 20_000 else 5


def _learning_rate(kind: Kind, tune: str, found: Circumstances) -> float:
    small = found.parameters <= _SMALL
    if kind == "train":
        return 1e-3 if small else 5e-4
    if tune == "projections":
        return 1e-3
    if tune.startswith("lora"):
        return 2e-4
    if tune == "text":
        return 6e-3 if small else 1e-5
    return 3e-4 if small else 1e-5
