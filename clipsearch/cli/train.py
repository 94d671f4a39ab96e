"""`clipsearch train`: a model from nothing, or on from another without looking back."""

from dataclasses import replace
from typing import Annotated

import typer

from clipsearch.cli import training_options as options
from clipsearch.cli.arguments import examples
from clipsearch.cli.options import JsonProgressOption, QuietOption
from clipsearch.cli.training import Beginning, follow, new_request, resumed_request
from clipsearch.errors import UsageError

EXAMPLES = examples(
    "clipsearch train photos.tar --architecture ViT-B-32       from random weights",
    "clipsearch train captions.csv --architecture ./tiny       an open_clip_config.json in there",
    "clipsearch train captions.csv --model starter             on from a model, without a bound",
    "clipsearch train --resume train-ViT-B-32-photos",
)


def train(
    data: options.DataArgument = None,
    architecture: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Begin from nothing: an architecture of open_clip, or a directory with an "
            "open_clip_config.json.",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="Go on from this model instead.")
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
    """Train a model on photos with captions or labels, from nothing or on from another one.

    Unlike finetune it does not care what a model forgets: the weights that do best on photos set
    aside are the result. Ctrl-C at any moment loses nothing: the same command goes on.
    """
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
        validation=validation,
        test=test,
        seed=seed,
        threads=threads,
        shard=shard or None,
    )
    if resume is not None:
        request = resumed_request(resume, wishes)
    else:
        if (data or library) and (model is None) == (architecture is None):
            raise UsageError(
                "say what to begin with",
                "--architecture NAME begins from nothing, --model NAME goes on from a model",
            )
        request = new_request(
            "train",
            wishes,
            begins_with=Beginning(model, architecture),
            data=data,
            library=library,
            photos=photos,
            out=out,
        )
    request = replace(
        request, force=force, tensorboard=tensorboard, workers=workers, save_seconds=save_every
    )
    return follow(request, check_only=check, json=json, quiet=quiet)
