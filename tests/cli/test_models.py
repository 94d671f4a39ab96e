"""`clipsearch models` as a program, with a model small enough to install here."""

from pathlib import Path

import pytest

from tests.cli.program import Program
from tests.encoders.tiny import write_clip

pytestmark = pytest.mark.real


def test_from_damage_to_whole_again_and_on_after_the_original_is_gone(program: Program) -> None:
    """One story, because installing takes seconds: verify, pull, and life without the original."""
    original = write_clip(program.folder / "tiny")
    program.add("red.png", "red")
    assert program.run("models", "pull", "./tiny").code == 0
    (data,) = Path(program.folder / "models").glob("*/image.onnx.data")
    whole = data.read_bytes()
    data.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])

    assert f"{data} is damaged" in program.fails(4, "models", "verify", "./tiny")
    assert program.run("doctor").code == 4
    pulled = program.run("models", "pull", "./tiny")
    assert pulled.code == 0, pulled
    assert "installed again" in pulled.errors
    assert program.run("models", "verify", "./tiny").code == 0
    assert "installed already" in program.run("models", "pull", "./tiny").errors
    (shown,) = program.run("models", "show", "./tiny", "--json").records
    assert (shown["name"], shown["installed"]) == (str(original), True)

    assert program.run("index", str(program.album), "--model", "./tiny").code == 0
    original.rename(program.folder / "elsewhere")
    program.add("blue.png", "blue")
    again = program.run("index")
    assert again.code == 0, again
    found = program.run("search", "red", "--json")
    assert found.code == 0, found
    assert len(found.records) == 2
    assert program.run("doctor").code == 0
