"""G3: a graph whose weights lie elsewhere is refused before onnxruntime sees it."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from clipsearch.encoders import sessions
from clipsearch.encoders.sessions import open_session, refuse_foreign_data
from clipsearch.errors import DamageError

GRAPH, DATA = "text.onnx", "text.onnx.data"


def graph(location: str, **more: str) -> bytes:
    """One matrix product, whose matrix lies at `location`."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4, 4])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, "offset": "0", "length": "64", **more}.items():
        tensor.external_data.add(key=key, value=value)
    made = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
        initializer=[tensor],
    )
    return model_of(made, helper.make_opsetid("", 18))


def model_of(made: onnx.GraphProto, *imports: onnx.OperatorSetIdProto) -> bytes:
    model = helper.make_model(made, opset_imports=list(imports), ir_version=10)
    return model.SerializeToString()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a graph that is as it should be, and a secret beside the folder."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / GRAPH).write_bytes(graph(DATA))
    (folder / DATA).write_bytes(np.eye(4, dtype=np.float32).tobytes())
    (tmp_path / "secret").write_bytes(bytes(64))
    return folder


def refuse_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    monkeypatch.setattr(
        onnxruntime, "InferenceSession", lambda *_, **__: pytest.fail("a session was made")
    )


def test_the_good_one_runs(place: Path) -> None:
    session = open_session(place / GRAPH, bulk=False)
    rows = np.arange(8, dtype=np.float32).reshape(2, 4)
    np.testing.assert_array_equal(sessions.run(session, rows), rows)


@pytest.mark.row("G3")
@pytest.mark.parametrize(
    "location",
    [
        "../secret", "./../secret", "../model/../secret", "/etc/passwd", "{parent}/secret",
        "*/_ORT_MEM_ADDR_/*", "text.onnx", "image.onnx.data", "", ".", "text.onnx.data/../x",
        "TEXT.ONNX.DATA", "text.onnx.data\0", "..\\secret", "file:///etc/passwd", "//server/x",
    ],
)  # fmt: skip
def test_a_place_of_another_name(
    place: Path, monkeypatch: pytest.MonkeyPatch, location: str
) -> None:
    refuse_runtime(monkeypatch)
    (place / GRAPH).write_bytes(graph(location.format(parent=place.parent)))
    with pytest.raises(DamageError, match=r"refers to other files|cannot be opened"):
        open_session(place / GRAPH, bulk=False)


def link(place: Path) -> None:
    (place / DATA).unlink()
    (place / DATA).symlink_to(place.parent / "secret")


def hard_link(place: Path) -> None:
    (place / DATA).unlink()
    os.link(place.parent / "secret", place / DATA)


def folder(place: Path) -> None:
    (place / DATA).unlink()
    (place / DATA).mkdir()


def pipe(place: Path) -> None:
    (place / DATA).unlink()
    os.mkfifo(place / DATA)


def no_data(place: Path) -> None:
    (place / DATA).unlink()


def linked_graph(place: Path) -> None:
    shutil.move(place / GRAPH, place.parent / "graph")
    (place / GRAPH).symlink_to(place.parent / "graph")


def cut(place: Path) -> None:
    data = (place / GRAPH).read_bytes()
    (place / GRAPH).write_bytes(data[:-5])


def nonsense(place: Path) -> None:
    (place / GRAPH).write_bytes(b"\xff" * 100)


def emptied(place: Path) -> None:
    (place / GRAPH).write_bytes(b"")


def two_places(place: Path) -> None:
    model = onnx.ModelProto.FromString(graph(DATA))
    entry = model.graph.initializer[0].external_data.add()
    entry.key, entry.value = "location", "../secret"
    (place / GRAPH).write_bytes(model.SerializeToString())


def huge(place: Path) -> None:
    node = helper.make_node("Identity", ["x"], ["y"])
    nodes = helper.make_graph([node], "g", [], []).SerializeToString()
    (place / GRAPH).write_bytes(b"\x3a" + varint(len(nodes) * 200_000) + nodes * 200_000)
    link(place)


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


@pytest.mark.row("G3")
@pytest.mark.parametrize(
    "change",
    [link, hard_link, folder, pipe, no_data, linked_graph, cut, nonsense, two_places, huge],
)
def test_files_that_are_not_what_they_should_be(
    place: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    refuse_runtime(monkeypatch)
    change(place)
    with pytest.raises(DamageError):
        open_session(place / GRAPH, bulk=False)


@pytest.mark.row("G3")
@pytest.mark.parametrize("change", [emptied])
def test_what_only_the_runtime_can_tell(place: Path, change: Callable[[Path], None]) -> None:
    change(place)
    with pytest.raises(DamageError):
        open_session(place / GRAPH, bulk=False)


@pytest.mark.row("G3")
def test_operators_of_strangers_are_an_error_of_ours(place: Path) -> None:
    made = helper.make_graph(
        [helper.make_node("Evil", ["x"], ["y"], domain="org.example")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
    )
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("org.example", 1)]
    (place / GRAPH).write_bytes(model_of(made, *imports))
    refuse_foreign_data(place / GRAPH)
    with pytest.raises(DamageError, match="cannot be opened"):
        open_session(place / GRAPH, bulk=False)
