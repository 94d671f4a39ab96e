"""`clipsearch finetune`: a model made better at one's own photos, or an honest no."""

from dataclasses import replace
from typing import Annotated

import typer

from clipsearch.cli import training_options as options
from clipsearch.cli.arguments import examples
from clipsearch.cli.options import JsonProgressOption, QuietOption
from clipsearch.cli.training import Beginning, follow, new_request, resumed_request
from clipsearch.errors import UsageError

EXAMPLES = examples(
    "clipsearch finetune captions.csv --model starter",
    "clipsearch finetune captions.csv --model starter --check     only look through the data",
    "clipsearch finetune ~/Sorted --model balanced --tune lora    folders as labels, little memory",
    "clipsearch finetune --library ~/lib --model starter          a library's folders as labels",
    "clipsearch finetune --resume finetune-starter-captions       go on after Ctrl-C",
    "clipsearch index --model finetune-starter-captions           use what was made",
)


def finetune(
    data: options.DataArgument = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The model to go on from: a preset, ARCHITECTURE/TAG, a local directory, a run.",
        ),
    ] = None,
    out: options.OutOption = None,
    resume: options.ResumeOption = None,
    check: options.CheckOption = False,
    force: options.ForceOption = False,
    photos: options.PhotosOption = None,
    library: options.FromLibraryOption = None,
    tune: options.TuneOption = None,
    epochs: options.EpochsOption = None,
    batch_size: options.BatchOption = None,
    learning_rate: options.RateOption = None,
    weight_decay: options.DecayOption = None,
    loss: options.LossOption = None,
    views: options.ViewsOption = None,
    views_of: options.ViewsOfOption = None,
    anchor: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            min=0.0,
            help="How firmly everyday words stay where they were; 0: they may move.",
        ),
    ] = None,
    words: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            min=0.0,
            help="How much is learned from the captions' words alone, where they find photos "
            "better than the model does; 0: nothing.",
        ),
    ] = None,
    forgetting: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            min=0.0,
            max=1.0,
            help="The most that may be lost of what the data does not cover: 0.02 is two in a "
            "hundred.",
        ),
    ] = None,
    retain: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Photos of other things in folders by label: forgetting is measured on them.",
        ),
    ] = None,
    validation: options.ValidationOption = None,
    test: options.TestOption = None,
    chunk: options.ChunkOption = None,
    accumulate: options.AccumulateOption = None,
    recompute: options.RecomputeOption = False,
    precision: options.PrecisionOption = None,
    average: options.AverageOption = None,
    seed: options.SeedOption = None,
    threads: options.ThreadsOption = None,
    shard: options.ShardOption = False,
    workers: options.WorkersOption = 2,
    save_every: options.SaveOption = 120.0,
    tensorboard: options.TensorboardOption = False,
    json: JsonProgressOption = False,
    quiet: QuietOption = False,
) -> int:
    """Train a model on photos with captions or labels, and keep it only if it is better.

    A part of the photos is set aside. The model is trained on the rest, mixed with the original so
    that it forgets little, and both are compared on photos that neither has seen. Ctrl-C at any
    moment loses nothing: the same command goes on. Exit code 1: the original is kept.
    """  # fmt: skip
    from clipsearch.finetuning import Wishes

    wishes = Wishes(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        loss=loss,
        tune=tune,
        views=views,
        views_of=views_of,
        chunk=chunk,
        accumulate=accumulate,
        recompute=recompute or None,
        precision=precision,
        average=average,
        anchor=anchor,
        words=words,
        forgetting=forgetting,
        validation=validation,
        test=test,
        seed=seed,
        threads=threads,
        shard=shard or None,
    )
    if resume is not None:
        request = resumed_request(resume, wishes)
    else:
        if (data or library) and model is None:
            raise UsageError("say which model to go on from", "For a first try: --model starter")
        request = new_request(
            "finetune",
            wishes,
            begins_with=Beginning(model=model),
            data=data,
            library=library,
            photos=photos,
            out=out,
            retain=retain,
        )
    request = replace(
        request, force=force, tensorboard=tensorboard, workers=workers, save_seconds=save_every
    )
    return follow(request, check_only=check, json=json, quiet=quiet)
