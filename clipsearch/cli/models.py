"""`clipsearch models`: which models there are, which are installed, and what they are like."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from clipsearch.cli.arguments import examples
from clipsearch.cli.escape import visible
from clipsearch.cli.opening import announce
from clipsearch.cli.options import JsonOption, JsonProgressOption, QuietOption
from clipsearch.cli.output import Column, note, say, say_json, say_table
from clipsearch.cli.progress import showing_progress, size
from clipsearch.errors import UsageError

if TYPE_CHECKING:
    from clipsearch.encoders import InstalledModel
    from clipsearch.encoders.presets import Preset

EXAMPLES = examples(
    "clipsearch models",
    "clipsearch models pull multilingual",
    "clipsearch models pull ViT-B-16-SigLIP2-256/webli",
    "clipsearch models show starter",
)

models_app = typer.Typer(
    name="models", help="Which models there are, and which are installed.", epilog=EXAMPLES
)

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="A preset, or any name that index --model takes.")
]


@models_app.callback(invoke_without_command=True)
def models(context: typer.Context) -> int | None:
    """Which models there are, and which are installed. Alone: `clipsearch models list`."""
    return list_models() if context.invoked_subcommand is None else None


@models_app.command("list")
def list_models(json: JsonOption = False) -> int:
    """The presets, and every other model that is installed here."""
    from clipsearch.encoders import installed_models
    from clipsearch.encoders.presets import PRESETS
    from clipsearch.storage.layout import models_dir

    records = [_preset_record(each, _installed_as(each.name)) for each in PRESETS]
    told = {record.get("fingerprint") for record in records}
    others = [each for each in installed_models(models_dir()) if each.info.fingerprint not in told]
    records += [_installed_record(each) for each in others]
    if json:
        for record in records:
            say_json(record)
        return 0
    columns = [Column("model"), Column("installed"), Column("languages"), Column("purpose")]
    rows = (
        (
            str(record["name"]),
            _installed_words(record),
            str(record.get("languages", "")),
            str(record.get("purpose") or ""),
        )
        for record in records
    )
    say_table(columns, rows)
    return 0


@models_app.command()
def pull(name: NameArgument, json: JsonProgressOption = False, quiet: QuietOption = False) -> int:
    """Fetch a model and make it ready, so that it works offline from then on.

    One that is installed is verified, and installed again when it is damaged.
    """
    from clipsearch.encoders import find_installed, install, verify
    from clipsearch.errors import DamageError, ModelUnavailableError
    from clipsearch.storage.layout import models_dir

    found = find_installed(name, models_dir())
    if found is not None:
        try:
            verify(found, models_dir())
        except (DamageError, ModelUnavailableError) as error:
            note(f"clipsearch: {visible(error.message)}: the model is installed again.")
        else:
            note(f"clipsearch: {visible(name)} is installed already.")
            return 0
    if not quiet:
        announce(name)
    with showing_progress(json=json, quiet=quiet) as progress:
        info = install(name, models_dir(), progress)
    note(f"clipsearch: {visible(info.name)} is ready: {info.embed_dim} numbers per photo.")
    return 0


@models_app.command()
def verify(name: NameArgument) -> int:
    """Read every byte of an installed model and compare it with its checksums."""
    from clipsearch.checking import verify_model
    from clipsearch.storage.layout import models_dir

    verify_model(name, models_dir())
    say(f"{visible(name)} is complete and undamaged")
    return 0


@models_app.command()
def show(name: NameArgument, json: JsonOption = False) -> int:
    """Licence, size, languages and input of a model."""
    from clipsearch.encoders.presets import preset

    known, installed = preset(name), _installed_as(name)
    if known is not None:
        record = _preset_record(known, installed)
    elif installed is not None:
        record = _installed_record(installed)
    else:
        raise UsageError(
            f"{name} is no preset and is not installed", "See clipsearch models, or pull it first"
        )
    if json:
        say_json(record)
        return 0
    for field, value in record.items():
        if value is not None:
            shown = (
                size(value) if field in ("download", "bytes") and isinstance(value, int) else value
            )
            say(f"{field:14} {visible(str(shown))}")
    return 0


def _installed_as(name: str) -> "InstalledModel | None":
    """The installed model that goes by `name`: a preset, a tag, the path it was made from.

    Raises UsageError when nothing is called that.
    """
    from clipsearch.encoders import find_installed, installed_models
    from clipsearch.storage.layout import models_dir

    found = find_installed(name, models_dir())
    if found is None:
        return None
    for model in installed_models(models_dir()):
        if model.info.fingerprint == found.fingerprint:
            return replace(model, info=found)
    return None


def _preset_record(known: "Preset", installed: "InstalledModel | None") -> dict[str, object]:
    tagged = known.architecture is not None
    return {
        "name": known.name,
        "installed": installed is not None,
        "purpose": known.purpose,
        "languages": known.languages,
        "licence": known.licence,
        "download": known.download,
        "open_clip": f"{known.architecture}/{known.tag}" if tagged else None,
        "extra": known.extra,
        **(_facts(installed) if installed is not None else {}),
    }


def _installed_record(installed: "InstalledModel") -> dict[str, object]:
    from clipsearch.encoders.presets import preset

    # What a preset's name stood for before: another edition, for libraries that go on with it.
    earlier = preset(installed.info.name) is not None
    return {
        "name": installed.info.name,
        "installed": True,
        "purpose": "an earlier edition; libraries made with it go on" if earlier else None,
        "licence": installed.licence,
        "fetched_from": installed.fetched_from,
        **_facts(installed),
    }


def _facts(installed: "InstalledModel") -> dict[str, object]:
    height, width = installed.info.preprocess.size
    return {
        "bytes": installed.size,
        "folder": str(installed.folder),
        "fingerprint": installed.info.fingerprint,
        "embed_dim": installed.info.embed_dim,
        "input": f"{width} x {height} pixels",
        "context_length": installed.info.context_length,
    }


def _installed_words(record: dict[str, object]) -> str:
    if record["installed"]:
        stored = record.get("bytes")
        return f"yes, {size(stored)}" if isinstance(stored, int) else "yes"
    download = record.get("download")
    return f"no, {size(download)}" if isinstance(download, int) and download else "no"
