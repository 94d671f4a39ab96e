"""G4: the library's model has another one in its place, as after moving to another machine.

Whatever is different, the program says so with exit code 5 and the command that encodes the photos
again; that command makes all well.
"""

import copy
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import COLOURS, Program
from tests.encoders.tiny import CLIP_CONFIG, CLIP_PREPROCESS, write_model

pytestmark = [pytest.mark.real, pytest.mark.nightly, pytest.mark.row("G4")]

MISMATCH = 5
ASKED = (
    ("search", "red"),
    ("search", "album/red.png"),
    ("classify", "album", "--labels", "red,green"),
    ("teach", "ruby", "album/red.png", "--is", "red"),
)

Config = dict[str, Any]
Change = Callable[[Config, Config], None]


def nothing(config: Config, preprocess: Config) -> None:
    """The same configuration: with another seed, other weights."""


def length_of_vectors(config: Config, preprocess: Config) -> None:
    config["embed_dim"] = 24


def preprocessing(config: Config, preprocess: Config) -> None:
    preprocess["mean"] = [0.5, 0.5, 0.5]


def tokenizer(config: Config, preprocess: Config) -> None:
    config["text_cfg"]["tokenizer_kwargs"] = {"clean": "canonicalize"}


def write(folder: Path, change: Change, seed: int) -> None:
    from open_clip.model import CLIP

    config, preprocess = copy.deepcopy((CLIP_CONFIG, CLIP_PREPROCESS))
    change(config, preprocess)
    known = {name: config[name] for name in ("embed_dim", "vision_cfg", "text_cfg")}
    write_model(folder, CLIP(**known), config, preprocess, seed)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """An album indexed with ./tiny."""
    program = Program(tmp_path_factory.mktemp("other models"))
    program.add_colours()
    write(program.folder / "tiny", nothing, 0)
    indexed = program.run("index", "album", "--model", "./tiny")
    assert indexed.code == 0, indexed.errors
    return program


@pytest.mark.parametrize(
    ("change", "seed"),
    [(nothing, 1), (length_of_vectors, 0), (preprocessing, 0), (tokenizer, 0)],
    ids=["weights", "dimension", "preprocessing", "tokenizer"],
)
def test_another_model_of_that_name(program: Program, change: Change, seed: int) -> None:
    elsewhere = {"CLIPSEARCH_MODELS": f"models {change.__name__}"}
    elsewhere["CLIPSEARCH_LIBRARY"] = f"library {change.__name__}"
    shutil.copytree(program.library, program.folder / elsewhere["CLIPSEARCH_LIBRARY"])
    shutil.rmtree(program.folder / "tiny")
    write(program.folder / "tiny", change, seed)
    pulled = program.run("models", "pull", "./tiny", **elsewhere)
    assert pulled.code == 0, pulled.errors
    for arguments in ASKED:
        said = program.fails(MISMATCH, *arguments, **elsewhere)
        assert "made with another model of the name" in said
    command = re.search(r"Run: clipsearch (index --model [^;]+);", said)
    assert command is not None, said
    encoded = program.run(*shlex.split(command[1]), **elsewhere)
    assert encoded.code == 0, encoded.errors
    assert f"{len(COLOURS)} unchanged, now also encoded with this model" in encoded.out
    found = program.run("search", "red", "-k", "9", "--json", **elsewhere)
    assert len(found.records) == len(COLOURS)
