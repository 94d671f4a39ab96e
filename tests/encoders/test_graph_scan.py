"""Finding the files an ONNX graph refers to, against graphs that onnx itself wrote."""

import onnx
import pytest
from onnx import TensorProto, helper

from clipsearch.encoders.graph_scan import external_locations


def outside(name: str, location: str) -> TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[2])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="offset", value="8")
    tensor.external_data.add(key="location", value=location)
    return tensor


def model(graph: onnx.GraphProto, **parts) -> bytes:
    return helper.make_model(graph, **parts).SerializeToString()


def graph(nodes=(), initializer=()) -> onnx.GraphProto:
    return helper.make_graph(list(nodes), "g", [], [], initializer=list(initializer))


def test_weights_inside_refer_to_nothing():
    inside = helper.make_tensor("w", TensorProto.FLOAT, [2], [1.0, 2.0])
    assert external_locations(model(graph(initializer=[inside]))) == set()


@pytest.mark.row("G3")
def test_initializers():
    weights = [outside("a", "x.data"), outside("b", "../../etc/passwd"), outside("c", "/abs")]
    assert external_locations(model(graph(initializer=weights))) == {
        "x.data",
        "../../etc/passwd",
        "/abs",
    }


@pytest.mark.row("G3")
def test_constants_in_nodes_subgraphs_functions_and_sparse_tensors():
    constant = helper.make_node("Constant", [], ["c"], value=outside("v", "in-node"))
    deep = helper.make_node("Constant", [], ["d"], value=outside("v", "in-subgraph"))
    branch = helper.make_node("If", ["c"], ["i"], then_branch=graph([deep]), else_branch=graph())
    hidden = helper.make_node("Constant", [], ["e"], value=outside("v", "in-function"))
    function = helper.make_function("own", "f", [], ["e"], [hidden], [helper.make_opsetid("", 20)])
    whole = graph([constant, branch])
    sparse = whole.sparse_initializer.add()
    sparse.values.CopyFrom(outside("s", "in-sparse"))
    assert external_locations(model(whole, functions=[function])) == {
        "in-node",
        "in-subgraph",
        "in-function",
        "in-sparse",
    }


@pytest.mark.row("G3")
def test_lists_of_graphs_and_sparse_values_in_attributes():
    deep = graph([helper.make_node("Constant", [], ["d"], value=outside("v", "in-list"))])
    node = helper.make_node("Own", [], ["o"])
    node.attribute.append(helper.make_attribute("graphs", [deep]))
    one = node.attribute.add(name="sparse", type=onnx.AttributeProto.SPARSE_TENSOR)
    one.sparse_tensor.indices.CopyFrom(outside("i", "in-indices"))
    many = node.attribute.add(name="sparse_list", type=onnx.AttributeProto.SPARSE_TENSORS)
    many.sparse_tensors.add().values.CopyFrom(outside("s", "in-sparse-list"))
    tensors = node.attribute.add(name="tensors", type=onnx.AttributeProto.TENSORS)
    tensors.tensors.add().CopyFrom(outside("t", "in-tensors"))
    assert external_locations(model(graph([node]))) == {
        "in-list",
        "in-indices",
        "in-sparse-list",
        "in-tensors",
    }


@pytest.mark.row("G3")
def test_training_graphs():
    proto = helper.make_model(graph())
    proto.training_info.add().initialization.CopyFrom(graph(initializer=[outside("t", "train")]))
    assert external_locations(proto.SerializeToString()) == {"train"}


@pytest.mark.parametrize(
    "data", [b"\xff" * 20, b"\x3a\xff\xff\xff\x0f", b"\x3a", b"\x0b", b"<html>"]
)
def test_what_is_no_graph_is_refused(data):
    with pytest.raises(ValueError, match=r"ends in the middle|wire type"):
        external_locations(data)


@pytest.mark.row("G3")
def test_a_truncated_graph_is_refused():
    data = model(graph(initializer=[outside("a", "x.data")]))
    with pytest.raises(ValueError, match="ends in the middle"):
        external_locations(data[:-3])
