"""Models: found by name, fetched once, exported once, and then used without torch.

`install` makes a model ready, `find_installed` says whether it is, `load_towers` opens it for
queries, `load_bulk_encoder` for encoding many photos. The name `fake` is a model without weights
for tests; it is always installed.
"""

from dataclasses import dataclass
from pathlib import Path

from clipsearch.encoders.towers import Towers
from clipsearch.errors import ModelUnavailableError
from clipsearch.types import ImageEncoder, ModelInfo, Progress

__all__ = [
    "InstalledModel",
    "Towers",
    "find_installed",
    "install",
    "installed_models",
    "load_bulk_encoder",
    "load_towers",
]


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """A model that is ready for use: its facts, its folder, and the bytes it takes there."""

    info: ModelInfo
    folder: Path
    size: int


def install(name: str, models_dir: Path, progress: Progress) -> ModelInfo:
    """Make the model called `name` ready, fetching and exporting it unless that is already done.

    `name` is a preset, `architecture/tag` of open_clip, `hf-hub:organisation/repository`, a local
    directory, or `ARCHITECTURE@checkpoint-file`.

    Raises:
        UsageError: there is no such model.
        ModelUnavailableError: it cannot be fetched, loaded or verified.
        MissingExtraError: its tokenizer needs a package that is not installed.
        StorageError: the models' directory cannot be written.
    """
    found = find_installed(name, models_dir)
    if found is not None:
        return found
    raise ModelUnavailableError(f"the model {name!r} cannot be installed yet")


def find_installed(name: str, models_dir: Path) -> ModelInfo | None:
    """The model called `name` if it is ready for use, else None. Never imports torch."""
    if name == "fake":
        from clipsearch.encoders.fake import FAKE

        return FAKE
    return None


def installed_models(models_dir: Path) -> list[InstalledModel]:
    """The models that are ready for use in `models_dir`, by name."""
    return []


def load_towers(info: ModelInfo, models_dir: Path) -> Towers:
    """The exported towers of an installed model, opened when first used. Never imports torch.

    Raises:
        ModelUnavailableError: the model is not installed here.
    """
    if info.name == "fake":
        from clipsearch.encoders.fake import FAKE, FakeImageEncoder, FakeTextEncoder

        return Towers(FAKE, FakeTextEncoder, FakeImageEncoder)
    raise ModelUnavailableError(f"the model {info.name!r} is not installed")


def load_bulk_encoder(
    info: ModelInfo, models_dir: Path, expected: int | None = None
) -> ImageEncoder:
    """The fastest image tower on this machine for `expected` photos (None: very many).

    Raises:
        ModelUnavailableError: the model is not installed here.
    """
    return load_towers(info, models_dir).image
