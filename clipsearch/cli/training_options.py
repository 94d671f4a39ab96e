"""The options that `finetune` and `train` share."""

from typing import Annotated

import typer

from clipsearch.cli.options import named_library

DataArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="DATA",
        help="What to learn from: a .csv, .tsv or .jsonl of photos and captions, a folder with a "
        "folder for each label, photos with a .txt beside each, or WebDataset .tar files.",
        show_default=False,
    ),
]
PhotosOption = Annotated[
    str | None,
    typer.Option(
        "--photos", metavar="DIR", help="Where a table's relative paths begin; else beside it."
    ),
]
FromLibraryOption = Annotated[
    str | None,
    typer.Option(
        "--library",
        metavar="DIR",
        help="Learn from a library, its folders' names as labels.",
        callback=named_library,
    ),
]
OutOption = Annotated[
    str | None,
    typer.Option("--out", metavar="RUN", help="The run's directory; else named after the data."),
]
ResumeOption = Annotated[
    str | None,
    typer.Option("--resume", metavar="RUN", help="Go on with a run, with its own settings."),
]
CheckOption = Annotated[
    bool,
    typer.Option(
        "--check",
        help="Only look through the data and say what is wrong with it; exit code 2 where training "
        "would be refused.",
    ),
]
ForceOption = Annotated[
    bool,
    typer.Option(
        "--force", help="Go on with a run although data, settings or version are others now."
    ),
]
EpochsOption = Annotated[
    int | None, typer.Option("--epochs", metavar="N", min=1, help="How often to show every photo.")
]
BatchOption = Annotated[
    int | None,
    typer.Option("--batch-size", metavar="N", min=2, help="Pairs compared in one step."),
]
RateOption = Annotated[
    float | None, typer.Option("--learning-rate", metavar="X", help="The highest learning rate.")
]
DecayOption = Annotated[
    float | None, typer.Option("--weight-decay", metavar="X", min=0.0, help="AdamW's decay.")
]
LossOption = Annotated[
    str | None,
    typer.Option(
        "--loss",
        metavar="NAME",
        help="unicl (the usual one), infonce, sigmoid, triplet, triplet-hard or margin.",
    ),
]
TuneOption = Annotated[
    str | None,
    typer.Option(
        "--tune",
        metavar="WHAT",
        help="What is trained: all, projections, text, image, last:BLOCKS[:DECAY] or lora[:RANK].",
    ),
]
ViewsOption = Annotated[
    float | None,
    typer.Option(
        "--views",
        metavar="X",
        min=0.0,
        help="How much two views of one photo finding each other counts beside the captions.",
    ),
]
ViewsOfOption = Annotated[
    str | None,
    typer.Option(
        "--views-of",
        metavar="WHAT",
        help="With --views, whose views find each other: one photo's (photo, the usual one), or "
        "those of all photos with one label or caption (label).",
    ),
]
ChunkOption = Annotated[
    int | None,
    typer.Option(
        "--chunk",
        metavar="N",
        min=0,
        help="Pairs computed at once: less memory, the same gradients. 0: all.",
    ),
]
AccumulateOption = Annotated[
    int | None,
    typer.Option("--accumulate", metavar="N", min=1, help="Batches averaged into one step."),
]
RecomputeOption = Annotated[
    bool,
    typer.Option("--recompute", help="Compute activations twice instead of keeping them."),
]
PrecisionOption = Annotated[
    str | None,
    typer.Option("--precision", metavar="NAME", help="fp32 or bf16; else what is faster here."),
]
AverageOption = Annotated[
    float | None,
    typer.Option(
        "--average", metavar="X", min=0.0, max=0.99999, help="Keep a moving average of the weights."
    ),
]
ValidationOption = Annotated[
    float | None,
    typer.Option("--validation", metavar="X", help="Share of photos that choose the weights."),
]
TestOption = Annotated[
    float | None,
    typer.Option("--test", metavar="X", help="Share of photos that only the report looks at."),
]
SeedOption = Annotated[
    int | None, typer.Option("--seed", metavar="N", min=0, help="Another order, another split.")
]
ThreadsOption = Annotated[
    int | None, typer.Option("--threads", metavar="N", min=1, help="Threads that compute.")
]
ShardOption = Annotated[
    bool,
    typer.Option(
        "--shard",
        help="Under torchrun: share the weights out over the processes (FSDP), for a model that "
        "one device cannot train.",
    ),
]
WorkersOption = Annotated[
    int, typer.Option("--workers", metavar="N", min=0, max=64, help="Threads that read photos.")
]
TensorboardOption = Annotated[
    bool, typer.Option("--tensorboard", help="Write the curves for TensorBoard too.")
]
SaveOption = Annotated[
    float,
    typer.Option(
        "--save-every", metavar="SECONDS", min=0.0, help="How often to save; Ctrl-C saves, too."
    ),
]
