"""G1: no file that is given for a model, a tokenizer or a checkpoint ever runs code."""

import json
import os
import shutil
from pathlib import Path

import pytest

from clipsearch.encoders import install, load_bulk_encoder
from clipsearch.encoders.int8 import read_ranges
from clipsearch.encoders.openclip import TOKENIZER_FILES
from clipsearch.errors import ClipsearchError, DamageError, ModelUnavailableError
from tests.encoders.test_other_towers import write_siglip, write_xlm
from tests.encoders.tiny import InstalledTiny, silent
from tests.fault.models.canaries import as_arrays, containers, gadgets, pickled, saved

pytestmark = pytest.mark.real
GADGETS = ("system", "eval", "exec", "popen", "partial", "open", "ordered-dict", "deep")
AFTER_A_TYPE_ERROR = "after-a-type-error"


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # What a careful person would not set, and somebody else's instructions may ask for.
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    return tmp_path / "canary"


@pytest.mark.row("G1")
@pytest.mark.parametrize("gadget", [*GADGETS, AFTER_A_TYPE_ERROR])
def test_as_a_model_in_every_container(
    tiny_clip: Path, tmp_path: Path, canary: Path, gadget: str
) -> None:
    tried = 0
    for name, data in containers(gadgets(canary)[gadget]):
        folder = tmp_path / f"{tried}"
        folder.mkdir()
        shutil.copy(tiny_clip / "open_clip_config.json", folder)
        (folder / name).write_bytes(data)
        for asked in (str(folder), str(folder / name), f"ViT-B-32@{folder / name}"):
            if asked.startswith("ViT") and tried % 4:
                continue
            with pytest.raises(ClipsearchError) as caught:
                install(asked, tmp_path / "models", silent)
            assert caught.value.exit_code in (2, 6)
            if isinstance(caught.value, ModelUnavailableError):
                assert "safetensors" in str(caught.value)
            assert not canary.exists(), (name, asked)
        tried += 1
    assert tried >= 17
    assert [path.name for path in (tmp_path / "models").iterdir()] == []


@pytest.mark.row("G1")
def test_as_a_file_of_a_tokenizer(tmp_path: Path, canary: Path) -> None:
    origin = write_siglip(tmp_path / "siglip")
    touch = gadgets(canary)["system"]
    needed = {name: (origin / name).read_bytes() for name in os.listdir(origin)}
    for name, data in needed.items():
        if name in TOKENIZER_FILES:
            for poison in (pickled(touch, 0), pickled(touch, 4), saved(touch)):
                (origin / name).write_bytes(poison)
                with pytest.raises(ModelUnavailableError):
                    install(str(origin), tmp_path / "models", silent)
                assert not canary.exists(), name
            (origin / name).write_bytes(data)
    # Files that this tokenizer does not need: nobody reads them as pickles either.
    others = sorted({*TOKENIZER_FILES} - needed.keys())
    for name in others:
        (origin / name).write_bytes(pickled(touch))
    with pytest.raises(ModelUnavailableError):
        install(str(origin), tmp_path / "models", silent)
    for name in others:
        if name.endswith(".json"):
            (origin / name).unlink()
    install(str(origin), tmp_path / "models", silent)
    assert not canary.exists()


@pytest.mark.row("G1")
@pytest.mark.parametrize(
    ("settings", "key"),
    [("tokenizer_config.json", "AutoTokenizer"), ("text_model/config.json", "AutoConfig")],
)
def test_code_that_settings_ask_for(tmp_path: Path, canary: Path, settings: str, key: str) -> None:
    """transformers would ask on the terminal whether to run it, and an answer is quickly given."""
    origin = write_xlm(tmp_path / "xlm")
    code = f"open({str(canary)!r}, 'w').close()\nclass Own: pass\n"
    for folder in (origin, origin / "text_model"):
        (folder / "own.py").write_text(code)
    path = origin / settings
    named = ["own.Own", None] if key == "AutoTokenizer" else "own.Own"
    path.write_text(json.dumps({**json.loads(path.read_text()), "auto_map": {key: named}}))
    with pytest.raises(ModelUnavailableError, match="asks for code"):
        install(str(origin), tmp_path / "models", silent)
    assert not canary.exists()


@pytest.mark.row("G1")
@pytest.mark.parametrize("gadget", GADGETS)
def test_as_calibrated_ranges(tmp_path: Path, canary: Path, gadget: str) -> None:
    import hashlib

    data = as_arrays(gadgets(canary)[gadget])
    digest = hashlib.sha256(data).hexdigest()
    (tmp_path / f"int8-{digest[:16]}.npz").write_bytes(data)
    with pytest.raises(ValueError, match=r"allow_pickle|int8"):
        read_ranges(tmp_path, digest)
    assert not canary.exists()


@pytest.mark.row("G1")
def test_in_place_of_an_installed_file(
    installed: InstalledTiny, tmp_path: Path, canary: Path
) -> None:
    """Of the same size, so that only its content tells."""
    shutil.copytree(installed.models, tmp_path / "models")
    folder = tmp_path / "models" / installed.folder.name
    touch = gadgets(canary)["system"]
    for name in ("image.onnx", "weights/open_clip_model.safetensors"):
        size = (folder / name).stat().st_size
        (folder / name).write_bytes(pickled(touch).ljust(size, b"\0"))
    with pytest.raises(DamageError):
        load_bulk_encoder(installed.info, tmp_path / "models", expected=1)
    assert not canary.exists()


@pytest.mark.row("G1")
def test_the_canaries_do_sing(tmp_path: Path) -> None:
    """What the tests above prove is worth nothing unless each gadget works where it is let in."""
    import pickle
    import subprocess

    for name, payload in gadgets(tmp_path / "canary").items():
        if name == AFTER_A_TYPE_ERROR:
            payload = payload["a"]  # type: ignore[index]
        made = pickle.loads(pickle.dumps(payload))
        if isinstance(made, subprocess.Popen):
            made.wait()
        elif hasattr(made, "close"):
            made.close()
        (tmp_path / "canary").unlink()
