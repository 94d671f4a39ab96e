"""Which weights file is taken, and which are refused before anything opens them."""

import zipfile

import pytest

from clipsearch.encoders.weights import preferred_weights, refuse_programs, stored_name
from clipsearch.errors import ModelUnavailableError


def archive(path, *members):
    with zipfile.ZipFile(path, "w") as file:
        for member in members:
            file.writestr(member, b"")
    return path


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (
            ["open_clip_pytorch_model.bin", "open_clip_model.safetensors"],
            "open_clip_model.safetensors",
        ),
        (["pytorch_model.bin", "model.safetensors", "README.md"], "model.safetensors"),
        (["mine.pt", "mine.safetensors"], "mine.safetensors"),
        (["epoch_9.pt", "open_clip_config.json"], "epoch_9.pt"),
        (["open_clip_config.json"], None),
        ([], None),
    ],
)
def test_safetensors_and_customary_names_first(names, chosen):
    assert preferred_weights(names) == chosen


def test_several_without_a_customary_name_are_not_guessed_at():
    with pytest.raises(ModelUnavailableError, match=r"a\.safetensors, b\.safetensors"):
        preferred_weights(["b.safetensors", "a.safetensors"])


@pytest.mark.parametrize("member", ["m/constants.pkl", "m/code/x.py"])
@pytest.mark.row("G1")
def test_torchscript_is_refused_under_any_name(tmp_path, member):
    script = archive(tmp_path / "model.bin", "m/data.pkl", member)
    with pytest.raises(ModelUnavailableError, match=r"TorchScript.*safetensors"):
        stored_name(script)


@pytest.mark.parametrize("member", ["m/archive_format", "m/models/model.json"])
@pytest.mark.row("G1")
def test_exported_programs_are_refused_under_any_name(tmp_path, member):
    program = archive(tmp_path / "model.pt", "m/version", member)
    with pytest.raises(ModelUnavailableError, match=r"exported program.*safetensors"):
        stored_name(program)


def test_a_plain_checkpoint_is_let_through(tmp_path):
    plain = archive(tmp_path / "epoch_1.pt", "m/data.pkl", "m/data/0", "m/version")
    assert stored_name(plain) == "open_clip_pytorch_model.bin"


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.pt2", "x.onnx", "x"])
def test_other_kinds_are_refused_by_name(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(ModelUnavailableError, match="safetensors"):
        stored_name(tmp_path / name)


@pytest.mark.parametrize("data", [b"", b"\x80\x02}q\x00.", b"<html>"])
@pytest.mark.row("G1")
def test_bare_pickles_and_other_files_are_refused_unread(tmp_path, data):
    (tmp_path / "x.pt").write_bytes(data)
    with pytest.raises(ModelUnavailableError, match="not a PyTorch checkpoint"):
        refuse_programs(tmp_path / "x.pt")
