"""`clipsearch models` as a program, with a model small enough to install here."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from clipsearch import encoders
from clipsearch.cli.models import list_models
from clipsearch.encoders import InstalledModel
from clipsearch.encoders.fake import FAKE
from tests.cli.program import Program
from tests.encoders.tiny import write_clip


def test_what_a_preset_stood_for_before_is_listed_as_that(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After an update `starter` is another model; the old one stays, for its libraries."""
    old = replace(FAKE, name="starter")
    kept = InstalledModel(old, Path("models/old"), 73_000_000, ("starter",), None, None)
    monkeypatch.setattr(encoders, "installed_models", lambda folder: [kept])
    monkeypatch.setattr(encoders, "find_installed", lambda name, folder: None)
    assert list_models(json=True) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    first, last = records[0], records[-1]
    assert (first["name"], first["installed"]) == ("starter", False)
    assert (last["name"], last["installed"]) == ("starter", True)
    assert "earlier edition" in last["purpose"]


@pytest.mark.real
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
    listed = [r["name"] for r in program.run("models", "list", "--json").records if r["installed"]]
    assert listed == [str(original)]

    assert program.run("index", str(program.album), "--model", "./tiny").code == 0
    original.rename(program.folder / "elsewhere")
    program.add("blue.png", "blue")
    again = program.run("index")
    assert again.code == 0, again
    found = program.run("search", "red", "--json")
    assert found.code == 0, found
    assert len(found.records) == 2
    assert program.run("doctor").code == 0
