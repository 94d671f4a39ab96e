"""Models: found by name, fetched once, exported once, and then used without torch.

`install` makes a model ready, `find_installed` says whether it is, `load_towers` opens it for
queries, `load_bulk_encoder` for encoding many photos. The name `fake` is a model without weights
for tests; it is always installed.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from clipsearch.encoders.exported import open_image_encoder, open_text_encoder
from clipsearch.encoders.fake import FAKE, FakeImageEncoder, FakeTextEncoder
from clipsearch.encoders.presets import PRESETS, Preset
from clipsearch.encoders.store import (
    check_contents,
    damaged_records,
    require_stored,
    stored_models,
)
from clipsearch.encoders.towers import Towers
from clipsearch.errors import ModelMismatchError, ModelUnavailableError, UsageError
from clipsearch.types import ImageEncoder, ModelInfo, Progress, no_progress

__all__ = [
    "PRESETS",
    "InstalledModel",
    "Preset",
    "Towers",
    "damaged_records",
    "find_installed",
    "install",
    "installed_models",
    "is_installed",
    "load_bulk_encoder",
    "load_towers",
    "require_own",
    "verify",
]

# Before anything imports onnxruntime: it writes an id of this machine into the home folder then,
# and within a minute asks the network for its makers' address.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """A model that is ready for use: its facts, its folder, and the bytes it takes there.

    `names` are those it was installed under, `licence` and `fetched_from` (repository@revision)
    None when they are not known or it came from local files.
    """

    info: ModelInfo
    folder: Path
    size: int
    names: tuple[str, ...]
    licence: str | None
    fetched_from: str | None


def install(name: str, models_dir: Path, progress: Progress = no_progress) -> ModelInfo:
    """Make the model called `name` ready, fetching and exporting it unless that is already done.

    One that is installed but damaged is installed again.

    `name` is a preset, `architecture/tag` of open_clip, `hf-hub:organisation/repository`, a local
    directory, or `ARCHITECTURE@checkpoint-file`.

    Raises:
        UsageError: there is no such model.
        ModelUnavailableError: it cannot be fetched, loaded or verified.
        MissingExtraError: its tokenizer needs a package that is not installed.
        StorageError: the models' directory cannot be written.
    """
    if name == FAKE.name:
        return FAKE
    from clipsearch.encoders.installing import install as install_model

    return install_model(name, models_dir, progress)


def find_installed(name: str, models_dir: Path) -> ModelInfo | None:
    """The model called `name` if it is ready for use, else None. Never imports torch.

    Raises:
        UsageError: nothing is called that.
    """
    if name == FAKE.name:
        return FAKE
    from clipsearch.encoders.installing import find

    return find(name, models_dir)


def installed_models(models_dir: Path) -> list[InstalledModel]:
    """The models that are ready for use in `models_dir`, by name."""
    return [
        InstalledModel(
            info=stored.info,
            folder=folder,
            size=sum(seal.size for seal in stored.files.values()),
            names=tuple(origin.name for origin in stored.origins),
            licence=stored.licence,
            fetched_from=stored.fetched_from,
        )
        for folder, stored in stored_models(models_dir)
    ]


def load_towers(info: ModelInfo, models_dir: Path) -> Towers:
    """The exported towers of an installed model, opened when first used. Never imports torch.

    Raises:
        ModelUnavailableError: the model is not installed here.
        DamageError: its files are incomplete.
    """
    if info.fingerprint == FAKE.fingerprint:
        return Towers(FAKE, FakeTextEncoder, FakeImageEncoder)
    folder, stored = require_stored(info, models_dir)
    return Towers(
        info,
        lambda: open_text_encoder(info, folder, stored),
        lambda: open_image_encoder(info, folder, stored),
    )


def load_bulk_encoder(
    info: ModelInfo, models_dir: Path, expected: int | None = None
) -> ImageEncoder:
    """The image tower that is done soonest on this machine with `expected` photos (None: many).

    Measured when it first matters (a few seconds), then remembered beside the model.

    Raises:
        ModelUnavailableError: the model is not installed here.
        DamageError: its files are damaged.
    """
    if info.fingerprint == FAKE.fingerprint:
        return FakeImageEncoder()
    from clipsearch.encoders.bulk import bulk_encoder

    folder, stored = require_stored(info, models_dir)
    return bulk_encoder(folder, stored, expected)


def verify(info: ModelInfo, models_dir: Path) -> None:
    """Hash every file of an installed model again and compare with what was installed.

    Raises:
        ModelUnavailableError: the model is not installed here.
        DamageError: a file is damaged, missing or incomplete, by name.
    """
    if info.fingerprint == FAKE.fingerprint:
        return
    folder, stored = require_stored(info, models_dir)
    check_contents(folder, stored, list(stored.files))


def require_own(info: ModelInfo, models_dir: Path) -> None:
    """Make sure that the very model a library was made with can be loaded.

    It is known by its fingerprint: a name may stand for another model since, or for nothing.

    Raises:
        ModelUnavailableError: it is not installed here.
        ModelMismatchError: another one is installed under its name.
        DamageError: its files are incomplete.
    """
    if is_installed(info, models_dir):
        return
    import shlex

    name = shlex.quote(info.name)
    try:
        found = find_installed(info.name, models_dir)
    except UsageError as error:
        raise ModelUnavailableError(
            f"the library's model {info.name} is not installed, and its files are not there",
            f"Put them back and run: clipsearch models pull {name}; "
            "or encode the photos with another model: clipsearch index --model NAME",
        ) from error
    if found is None:
        raise ModelUnavailableError(
            f"the library's model {info.name} is not installed",
            f"Run: clipsearch models pull {name}",
        )
    raise ModelMismatchError(
        f"the library was made with another model of the name {info.name}",
        f"Run: clipsearch index --model {name}; the photos are encoded again with it",
    )


def is_installed(info: ModelInfo, models_dir: Path) -> bool:
    """Whether this very model is installed, under whatever name.

    Raises:
        DamageError: its files are incomplete.
    """
    if info.fingerprint == FAKE.fingerprint:
        return True
    try:
        require_stored(info, models_dir)
    except ModelUnavailableError:
        return False
    return True
