"""Everything that takes part in training, put together: model, loss, optimizer, batches, pace."""

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clipsearch.finetuning.measuring import general_prompts
from clipsearch.finetuning.preparing import Prepared
from clipsearch.finetuning.wording import learned_words, pairs_weight
from clipsearch.prompts import template_set
from clipsearch.types import CaptionedPhoto, Progress

if TYPE_CHECKING:
    from clipsearch.training.fitting import Pace
    from clipsearch.training.objective import PairObjective, TextTerm
    from clipsearch.training.pair_batches import PairBatches
    from clipsearch.training.stored_views import StoredPairs
    from clipsearch.training.trainee import Trainee
    from clipsearch.training.tuning import TrainedGroup
    from clipsearch.training.word_teacher import WordsFound


@dataclass(frozen=True, slots=True)
class Assembly:
    """What one process trains with; `per_epoch` steps show every photo once. `words`: what the
    captions' words alone find, None when that was not asked."""

    trainee: "Trainee"
    objective: "PairObjective"
    batches: "PairBatches | StoredPairs"
    per_epoch: int
    pace: "Pace"
    words: "WordsFound | None"


def assemble(prepared: Prepared, progress: Progress) -> Assembly:
    """Make the model ready to learn, in every process alike.

    What a locked image tower makes of the photos is computed here, once, told as "views".
    """
    from clipsearch.training.encoding import measuring

    settings = prepared.settings
    groups = _prepared_groups(prepared)
    # While every process still has the whole model.
    terms = [_anchor(prepared)] if settings.anchor else []
    batches = _batches(prepared, progress)
    words, teacher = learned_words(prepared, batches)
    learned = prepared.parts.of(prepared.parts.learned)
    weight = pairs_weight(settings.pairs_beside_words, learned) if teacher else 1.0
    trainee, objective = _trainee(prepared, groups, [*terms, *teacher], weight)
    if settings.loss == "sigmoid":
        with closing(batches.iterate(0)) as upcoming, measuring(trainee.model):
            objective.settle(next(upcoming))
    per_epoch = max(1, batches.steps_per_epoch // settings.accumulate)
    pace = _pace(prepared, trainee, per_epoch)
    return Assembly(trainee, objective, batches, per_epoch, pace, words)


def _prepared_groups(prepared: Prepared) -> "list[TrainedGroup]":
    """The model ready to be trained, and what is trained of it."""
    from clipsearch.training import tuning
    from clipsearch.training.activations import recompute_activations
    from clipsearch.training.processes import compute_with
    from clipsearch.training.shipping import hold_norms
    from clipsearch.training.tuning_names import tune_called

    settings, model = prepared.settings, prepared.loaded.model
    compute_with(settings.threads, settings.seed)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in prepared.loaded.trainable)
    groups = tuning.prepare(model, tune_called(settings.tune))
    model.train()
    if settings.frozen_norms:
        hold_norms(model)
    if settings.recompute:
        recompute_activations(model)
    return groups


def _trainee(
    prepared: Prepared,
    groups: "list[TrainedGroup]",
    text_terms: "list[TextTerm]",
    pairs_weight: float,
) -> "tuple[Trainee, PairObjective]":
    from clipsearch.training.fitting import make_optimizer
    from clipsearch.training.losses import make_loss
    from clipsearch.training.objective import PairObjective
    from clipsearch.training.processes import compute_with
    from clipsearch.training.sharding import share_out
    from clipsearch.training.trainee import TrainedAverage, Trainee

    settings, device = prepared.settings, prepared.worker.device
    model = prepared.loaded.model
    if settings.shard:
        groups = share_out(model, groups)
    loss = make_loss(settings.loss).to(device)
    average = TrainedAverage(model, settings.average) if settings.average else None
    optimizer = make_optimizer(groups, loss, settings.weight_decay)
    objective = PairObjective(
        model,
        loss,
        device,
        precision=settings.precision,
        pairs_weight=pairs_weight,
        views_weight=settings.views,
        views_of=settings.views_of,
        chunk=settings.chunk,
        text_terms=text_terms,
        images_are_stored=settings.stored_views > 0,
    )
    compute_with(settings.threads, settings.seed)
    return Trainee(model, loss, optimizer, average), objective


def _anchor(prepared: Prepared) -> "TextTerm":
    """Everyday labels in a few wordings, held where the original has them."""
    from clipsearch.training.anchoring import DRAWN, anchor_to
    from clipsearch.training.encoding import measuring
    from clipsearch.training.objective import TextTerm

    settings = prepared.settings
    # Beside a small batch as many as ever would be most of a step's work.
    drawn = min(DRAWN, 2 * settings.batch_size)
    tokenize = prepared.seeing.tokenize
    encode_text = _encoder(prepared).encode_text
    with measuring(prepared.loaded.model) as (device, _):
        anchor = anchor_to(general_prompts(), tokenize, encode_text, device, drawn)
    return TextTerm(anchor, settings.anchor)


def _encoder(prepared: Prepared) -> "PairObjective":
    """The towers as they stand, in the run's precision."""
    from clipsearch.training.losses import make_loss
    from clipsearch.training.objective import PairObjective

    return PairObjective(
        prepared.loaded.model,
        make_loss(prepared.settings.loss),
        prepared.worker.device,
        precision=prepared.settings.precision,
    )


def _batches(prepared: Prepared, progress: Progress) -> "PairBatches | StoredPairs":
    learned = prepared.parts.of(prepared.parts.learned)
    batches = _batches_of(prepared, learned, prepared.worker.rank, prepared.worker.world)
    if not prepared.settings.stored_views:
        return batches
    return _stored_pairs(prepared, batches, learned, progress)


def _batches_of(
    prepared: Prepared, photos: list[CaptionedPhoto], rank: int, world: int
) -> "PairBatches":
    from clipsearch.photos.opening import open_photo
    from clipsearch.training.pair_batches import PairBatches

    settings = prepared.settings
    return PairBatches(
        photos,
        prepared.loaded.preprocess,
        prepared.seeing.tokenize,
        open_photo,
        batch_size=settings.batch_size,
        seed=settings.seed,
        two_views=settings.views > 0,
        prompts=template_set().prompts,
        workers=prepared.request.workers,
        rank=rank,
        world=world,
    )


def _stored_pairs(
    prepared: Prepared,
    batches: "PairBatches",
    learned: list[CaptionedPhoto],
    progress: Progress,
) -> "StoredPairs":
    """The batches with what the locked image tower makes of each photo in place of pixels.

    Computed once, by the first process.
    """
    from clipsearch.training.encoding import measuring
    from clipsearch.training.processes import first_says
    from clipsearch.training.stored_views import (
        StoredPairs,
        encode_views,
        for_all_captions,
        read_views,
        write_views,
    )

    path, run, device = prepared.directory.views, prepared.fingerprint, prepared.worker.device
    known = read_views(path, run) if prepared.leads else None
    if prepared.leads and known is None:
        encode_image = _encoder(prepared).encode_image
        with measuring(prepared.loaded.model):
            views = encode_views(
                _batches_of(prepared, for_all_captions(learned), 0, 1),
                lambda images: encode_image(images.to(device)),
                len(learned),
                prepared.settings.stored_views,
                lambda done, total: progress("views", done, total),
            )
        write_views(path, views, run)
    known = read_views(path, first_says(run))
    assert known is not None
    return StoredPairs(batches, known)


def _pace(prepared: Prepared, trainee: "Trainee", per_epoch: int) -> "Pace":
    from clipsearch.training.fitting import Pace
    from clipsearch.training.losses import MAX_LOGIT_SCALE

    settings = prepared.settings
    steps = per_epoch * settings.epochs
    scale = float(trainee.model.get_parameter("logit_scale").detach().max())
    return Pace(
        steps=steps,
        peak=settings.learning_rate,
        warmup=max(1, min(100, round(settings.warmup * steps))),
        gradient_clip=settings.gradient_clip,
        accumulate=settings.accumulate,
        # SigLIP models come with a larger one: it must not be cut by the first step.
        highest_scale=max(MAX_LOGIT_SCALE, scale),
    )
