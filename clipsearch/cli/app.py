"""The commands of `clipsearch`, put together."""

from typing import Annotated

import typer

import clipsearch
from clipsearch.cli import (
    classify,
    demo,
    doctor,
    evaluate,
    finetune,
    index,
    library,
    models,
    search,
    teach,
    train,
    why,
)
from clipsearch.cli.arguments import QueryCommand, examples
from clipsearch.cli.output import say

EXAMPLES = examples(
    "clipsearch index ~/Pictures                     read new and changed photos",
    'clipsearch search "a dog on the beach"          search in words',
    "clipsearch search ./rex.jpg                     search by example",
    "clipsearch search beach +./rex.jpg -people      both, leaving something out",
    "clipsearch classify ~/Inbox --labels cat,dog    name what is in photos",
    "clipsearch teach rex rex1.jpg rex2.jpg          then: clipsearch search @rex",
    "clipsearch finetune photos.csv --model starter  a better model for your own photos",
    "clipsearch doctor                               when something is wrong",
)

app = typer.Typer(
    name="clipsearch",
    help="Search, classify and organise the photos on your own machine, in words or by example.",
    epilog=EXAMPLES,
    # Plain help: half the start-up time of rich's, whole on narrow terminals, copied as it is.
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


@app.callback(invoke_without_command=True)
def clipsearch_command(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    """Search, classify and organise the photos on your own machine, in words or by example."""
    if version:
        say(f"clipsearch {clipsearch.__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        say(context.get_help())


app.command("index", epilog=index.EXAMPLES)(index.index)
app.command("search", epilog=search.EXAMPLES, cls=QueryCommand)(search.search)
app.command("classify", epilog=classify.EXAMPLES)(classify.classify)
app.command("teach", epilog=teach.EXAMPLES)(teach.teach)
app.command("finetune", epilog=finetune.EXAMPLES)(finetune.finetune)
app.command("train", epilog=train.EXAMPLES)(train.train)
app.command("evaluate", epilog=evaluate.EXAMPLES)(evaluate.evaluate)
app.add_typer(models.models_app)
app.add_typer(library.library_app)
app.command("why", epilog=why.EXAMPLES)(why.why)
app.command("doctor", epilog=doctor.EXAMPLES)(doctor.doctor)
app.command("demo", epilog=demo.EXAMPLES)(demo.demo)
