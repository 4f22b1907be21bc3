"""Graphs whose operators would allocate, loop or fail without bound: refused on loading, with the node's number."""

from __future__ import annotations

import json
from typing import Any

import pytest
import safetensors.torch
import torch

from modelpress.errors import ModelFormatError
from modelpress.graph import bounds
from modelpress.graph.serialise import load
from tests.unit.graph.crafted import Json, call, graph, node, read

X = node(0)
HUGE = 2**40
INFINITE = {"float": "inf"}
IMAGE = call("aten.new_zeros.default", X, [1, 1, 4, 4])
LINE, KERNEL = (call("aten.new_zeros.default", X, [1, 2, 5]), call("aten.new_zeros.default", X, [2, 2, 1]))
ITEMS: Json = {"dtype": "int64"}
REFUSED: dict[str, tuple[list[Json], str]] = {
    "expand": ([call("aten.expand.default", X, [HUGE, 2, 4])], "elements"),
    "expand beyond 64 bits": ([call("aten.expand.default", X, [2**62, 2, 4])], "overflow"),
    "repeat": ([call("aten.repeat.default", X, [HUGE, 1])], "elements"),
    "tile": ([call("aten.tile.default", X, [HUGE, 1])], "elements"),
    "repeat_interleave": ([call("aten.repeat_interleave.self_int", X, HUGE, 0)], "elements"),
    "new_full": ([call("aten.new_full.default", X, [HUGE], 1)], "elements"),
    "new_zeros of a negative size": ([call("aten.new_zeros.default", X, [-1])], "negative"),
    "new_ones in pinned memory": ([call("aten.new_ones.default", X, [1], pin_memory=True)], "names memory"),
    "arange": ([call("arange", X, 0, HUGE, 1, None)], "elements"),
    "arange without end": ([call("arange", X, 0, INFINITE, 1, None)], "nodes"),
    "arange by tiny steps": ([call("arange", X, 0, 1, 1e-300, None)], "nodes"),
    "linspace": ([call("linspace", X, 0, 1, HUGE, None)], "elements"),
    "eye": ([call("eye", X, 2**20, 2**20, None)], "elements"),
    "grid sampling beyond the border": (
        [
            IMAGE,
            call("aten.new_zeros.default", X, [1, 2, 2, 2]),
            call("aten.grid_sampler.default", node(1), node(2), 0, 1, False),
        ],
        "padding mode",
    ),
    "pad": ([call("aten.constant_pad_nd.default", X, [HUGE, 0])], "elements"),
    "pad to nothing": ([call("aten.pad.default", X, [-9, 0])], "nodes"),
    "outer product": (
        [call("aten.new_zeros.default", X, [2**20]), call("aten.outer.default", node(1), node(1))], "elements",
    ),
    "broadcast": (
        [
            call("aten.new_zeros.default", X, [2**20, 1]),
            call("aten.new_zeros.default", X, [1, 2**20]),
            call("aten.add.Tensor", node(1), node(2)),
        ],
        "elements",
    ),
    "einsum": (
        [call("aten.new_zeros.default", X, [2**20]), call("aten.einsum.default", "i,j->ij", [node(1)] * 2)], "elements",
    ),
    "pairs of distances": (
        [call("aten.new_zeros.default", X, [2**20, 1]), call("aten.cdist.default", node(1), node(1))], "elements",
    ),
    "one_hot": ([call("aten.to.dtype", X, ITEMS), call("aten.one_hot.default", node(1), HUGE)], "elements"),
    "one_hot by values": ([call("aten.to.dtype", X, ITEMS), call("aten.one_hot.default", node(1))], "meta"),
    "index by a mask": (
        [call("aten.gt.Scalar", X, 0), call("aten.index.Tensor", X, [node(1)])], "nonzero|data",
    ),
    "a number from a tensor": ([call("aten.sum.default", X), call("aten.add.Scalar", X, node(1))], "nodes"),
    "slice by steps of nothing": ([call("aten.slice.Tensor", X, 0, 0, 4, 0)], "step"),
    "slice backwards": ([call("aten.slice.Tensor", X, 0, 0, 4, -1)], "step"),
    "unfold by steps of nothing": ([call("aten.unfold.default", X, 1, 2, 0)], "step"),
    "pixel_unshuffle by nothing": (
        [call("aten.new_zeros.default", X, [1, 4, 2, 2]), call("aten.pixel_unshuffle.default", node(1), 0)], "nodes",
    ),
    "upsample": (
        [IMAGE, call("aten.upsample_nearest2d.vec", node(1), None, [6e4, 6e4])],
        "elements",
    ),
    "upsample by infinity": (
        [
            IMAGE,
            call("aten.upsample_nearest2d.vec", node(1), None, [INFINITE, 1.0]),
        ],
        "must lie between",
    ),
    "upsample by steps beyond 64 bits": (
        [IMAGE, call("aten.upsample_nearest2d.default", node(1), [9, 9], 1e-300, None)], "scales_h' must lie between",
    ),
    "upsample by a scale of zero": (
        [IMAGE, call("aten.upsample_bilinear2d.default", node(1), [9, 9], False, 1.0, 0)], "scales_w' must lie between",
    ),
    "weight norm with one length for many": (
        [call("aten.new_ones.default", X, [1, 1]), call("aten._weight_norm.default", X, node(1), 0)], "lengths of",
    ),
    "weight norm with lengths of another shape": (
        [call("aten.new_ones.default", X, [2]), call("aten._weight_norm.default", X, node(1))], "lengths of",
    ),
    "weight norm along no dimension": (
        [call("aten.new_ones.default", X, [2, 1]), call("aten._weight_norm.default", X, node(1), 2)], "lengths of",
    ),
    "pool to a large map": (
        [IMAGE, call("aten.adaptive_avg_pool2d.default", node(1), [2**20] * 2)],
        "elements",
    ),
    "convolution with padding": (
        [
            IMAGE,
            call("aten.conv2d.default", node(1), node(1), None, [1, 1], [2**20] * 2),
        ],
        "elements",
    ),
    "convolution by steps of nothing": (
        [IMAGE, call("aten.conv2d.default", node(1), node(1), None, [0, 0])],
        "nodes",
    ),
    "convolution by steps of thousands over many channels": (
        [
            call("aten.new_zeros.default", X, [1, 64, 5_000]),
            call("aten.new_zeros.default", X, [1, 64, 1]),
            call("aten.conv1d.default", node(1), node(2), None, [4096]),
        ],
        "a stride of 4096 over 64 channels",
    ),
    "convolution with a bias that only broadcasts": (
        [LINE, KERNEL, call("aten.new_zeros.default", X, [1]), call("aten.conv1d.default", node(1), node(2), node(3))],
        "do not fit",
    ),
    "convolution with groups that do not divide": (
        [LINE, KERNEL, call("aten.conv1d.default", node(1), node(2), None, [1], [0], [1], 2)], "do not fit",
    ),
    "convolution spread by nothing": (
        [LINE, KERNEL, call("aten.conv1d.default", node(1), node(2), None, [1], [0], [0])], "dilations over 0",
    ),
    "convolution padded in two dimensions of one": (
        [LINE, KERNEL, call("aten.conv_transpose1d.default", node(1), node(2), None, [1], [0], [0, 0])],
        "one a dimension",
    ),
    "pooling that steps over its input": (
        [
            call("aten.new_zeros.default", X, [1, 1, 2, 7]),
            call("aten.max_pool2d.default", node(1), [2, 3], [], [1, 1], [3, 1]),
        ],
        "windows that step by",
    ),
    "pooling that steps over its height by one number": (
        [
            call("aten.new_zeros.default", X, [1, 1, 2, 7]),
            call("aten.max_pool2d.default", node(1), [2], [], [1], [3]),
        ],
        "windows that step by",
    ),
    "pooling that steps over one dimension of three": (
        [
            call("aten.new_zeros.default", X, [1, 1, 1, 1, 4]),
            call("aten.max_pool3d.default", node(1), [7, 3, 3], [], [1, 1, 0], [1, 2, 1]),
        ],
        "windows that step by",
    ),
    "a million pieces": (
        [call("aten.new_zeros.default", X, [2**20]), call("aten.unbind.int", node(1))], "pieces",
    ),
    "a million parts": (
        [call("aten.new_zeros.default", X, [2**20]), call("aten.split.Tensor", node(1), 1)], "pieces",
    ),
    "a million chunks": (
        [call("aten.new_zeros.default", X, [2**20]), call("aten.chunk.default", node(1), 2**20)], "pieces",
    ),
    "a list times a number": ([call("aten.unbind.int", X), call("int_mul", node(1), HUGE)], "wants"),
    "a list and a list": ([call("aten.unbind.int", X), call("int_add", node(1), node(1))], "wants"),
    "a tensor and a number": ([call("int_add", X, 1)], "wants"),
    "an item of one tensor": ([call("item", X, 0)], "only one"),
    "an item too far": ([call("aten.unbind.int", X), call("item", node(1), 99)], "range"),
    "division by nothing": ([call("aten.sym_size.int", X, 0), call("int_floordiv", node(1), 0)], "zero"),
    "remainder of nothing": ([call("aten.sym_size.int", X, 0), call("int_mod", node(1), 0)], "zero"),
    "arithmetic beyond 64 bits": (
        [call("aten.sym_size.int", X, 0), call("int_mul", node(1), 2**61), call("int_mul", node(2), node(2))],
        "64 bits",
    ),
    "a size for a tensor": ([call("aten.sym_size.int", X, 0), call("aten.relu.default", node(1))], "nodes"),
    "dtypes that do not mix": (
        [call("aten.to.dtype", X, {"dtype": "float64"}), call("aten.matmul.default", X, node(1))], "nodes",
    ),
    "shapes that do not fit": ([call("aten.matmul.default", X, X)], r"nodes\[1\]: aten.matmul.default"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_bound_is_refused(name: str) -> None:
    nodes, message = REFUSED[name]
    with pytest.raises(ModelFormatError, match=message) as refusal:
        read(graph(nodes))
    assert "nodes[" in str(refusal.value)


def test_other_sizes_than_the_examples_are_checked_on_their_own() -> None:
    """The file chooses its example sizes; who runs others asks first."""
    model = read(graph([call("aten.sym_size.int", X, 0), call("aten.new_zeros.default", X, [node(1), node(1)])]))
    for batch in (2, 40_000):
        bounds.check_shapes(model.module, model.module.graph, model.inputs, {"batch": batch})
    with pytest.raises(ModelFormatError, match=r"nodes\[2\]: .*elements"):
        bounds.check_shapes(model.module, model.module.graph, model.inputs, {"batch": 50_000})


@pytest.mark.parametrize(("dim", "shape"), [(0, [2, 1]), (1, [1, 4]), (-1, [])])
def test_weight_norm_along_any_dimension_loads(dim: int, shape: list[int]) -> None:
    model = read(
        graph([call("aten.new_ones.default", X, shape), call("aten._weight_norm.default", X, node(1), dim)], (2, 4))
    )
    (x,) = model.examples()
    axes = [0, 1] if dim < 0 else [1 - dim]
    assert torch.allclose(model.module(x), x / x.norm(dim=axes, keepdim=True))


def test_seventeen_dimensions_are_refused() -> None:
    nodes = [call("aten.unsqueeze.default", node(i), 0) for i in range(20)]
    with pytest.raises(ModelFormatError, match=r"nodes\[15\]: .* 17 dimensions"):
        read(graph(nodes))


def test_doubling_by_cat_is_refused() -> None:
    nodes = [call("aten.cat.default", [node(i), node(i)]) for i in range(60)]
    with pytest.raises(ModelFormatError, match=r"nodes\[29\]: .*elements"):
        read(graph(nodes))


def test_many_large_tensors_are_refused() -> None:
    nodes = [call("aten.new_zeros.default", X, [2**30]) for _ in range(17)]
    with pytest.raises(ModelFormatError, match=r"nodes\[17\]: .*in all"):
        read(graph(nodes))


def test_views_take_no_memory_and_do_not_count() -> None:
    assert read(graph([call("aten.expand.default", X, [2**27, 2, 4]) for _ in range(40)])).module


def test_many_operators_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MAX_TENSORS", 50)
    pieces = [call("aten.new_zeros.default", X, [40]), *(call("aten.unbind.int", node(1)) for _ in range(2))]
    with pytest.raises(ModelFormatError, match=r"nodes\[3\]: .*more than 50 tensors"):
        read(graph(pieces))


def recurrent(kind: str, **values: Any) -> dict[str, Json]:
    config = {"input_size": 4, "hidden_size": 3, "num_layers": 1, "bias": True, "batch_first": True, "dropout": 0.0}
    return {"cell": {"type": kind, "config": {**config, "bidirectional": False, **values}, "constraints": {}}}


@pytest.mark.parametrize(
    ("kind", "values"), [("LSTM", {"proj_size": 0}), ("GRU", {}), ("RNN", {"nonlinearity": "tanh"})]
)
def test_a_sequence_of_millions_is_checked_by_one_step(kind: str, values: Json) -> None:
    leaf = recurrent(kind, **values)
    text = graph(
        [{"op": "leaf", "leaf": "cell", "args": [X]}, call("item", node(1), 0), call("aten.relu.default", node(2))],
        ("batch", 2**22, 4),
        leaves=leaf,
    )
    module = getattr(torch.nn, kind)(4, 3, batch_first=True)
    tensors = {f"cell.{name}": p.detach() for name, p in module.named_parameters()}
    document = json.loads(text)
    document["tensors"] = {name: {"kind": "parameter", "trainable": True} for name in tensors}
    loaded = load(json.dumps(document).encode(), safetensors.torch.save(tensors))
    assert loaded.module(torch.zeros(1, 5, 4)).shape == (1, 5, 3)


def test_layers_times_width_allocate_nothing() -> None:
    leaf = recurrent("LSTM", proj_size=0, num_layers=64, hidden_size=2**30)
    with pytest.raises(ModelFormatError, match=r"is missing|refuses"):
        read(graph([{"op": "leaf", "leaf": "cell", "args": [X]}], leaves=leaf))


def test_more_layers_than_64_are_refused() -> None:
    leaf = recurrent("LSTM", proj_size=0, num_layers=65)
    with pytest.raises(ModelFormatError, match="num_layers"):
        read(graph([{"op": "leaf", "leaf": "cell", "args": [X]}], leaves=leaf))


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("Embedding", {"num_embeddings": 2**31 - 1, "embedding_dim": 2**31 - 1, "padding_idx": None}),
        ("Linear", {"in_features": 2**31 - 1, "out_features": 2**31 - 1, "bias": True}),
        ("LayerNorm", {"normalized_shape": [2**31 - 1] * 9, "eps": 1e-5, "elementwise_affine": True, "bias": True}),
    ],
)
def test_a_leaf_of_petabytes_allocates_nothing(kind: str, config: Json) -> None:
    leaf = {"big": {"type": kind, "config": config, "constraints": {}}}
    with pytest.raises(ModelFormatError, match=r"leaves\.big|big\.(weight|bias)"):
        read(graph([{"op": "leaf", "leaf": "big", "args": [X]}], leaves=leaf))


def test_attentions_scores_are_bounded() -> None:
    config = {"scale": 1.0, "p": 0.0, "causal": False, "grouped": False}
    leaf = {"a": {"type": "Attention", "config": config, "constraints": {}}}
    nodes = [call("aten.new_zeros.default", X, [1, 1, 2**20, 1]), {"op": "leaf", "leaf": "a", "args": [node(1)] * 3}]
    with pytest.raises(ModelFormatError, match="scores"):
        read(graph(nodes, leaves=leaf))


def test_a_leaf_takes_tensors_only() -> None:
    leaf = {"drop": {"type": "Dropout", "config": {"p": 0.5}, "constraints": {}}}
    nodes = [call("aten.sym_size.int", X, 0), {"op": "leaf", "leaf": "drop", "args": [node(1)]}]
    with pytest.raises(ModelFormatError, match=r"nodes\[2\]: drop: a leaf takes tensors"):
        read(graph(nodes, leaves=leaf))


def test_an_integer_input_that_a_layer_cannot_take_is_refused() -> None:
    leaf = {"norm": {"type": "LayerNorm", "config": {"normalized_shape": [5], "eps": 1e-5, "elementwise_affine": False,
                                                     "bias": False}, "constraints": {}}}  # fmt: skip
    with pytest.raises(ModelFormatError, match=r"nodes\[1\]: norm"):
        read(graph([{"op": "leaf", "leaf": "norm", "args": [X]}], leaves=leaf))


def test_paths_that_make_many_modules_are_refused() -> None:
    """1,000 leaves of 24 steps have 23,000 modules above them, each of which costs memory."""
    drop = {"type": "Dropout", "config": {"p": 0.5}, "constraints": {}}
    paths = [f"m{i}." + ".".join("abcdefghijklmnopqrstuvw") for i in range(1_000)]
    nodes: list[Json] = [{"op": "leaf", "leaf": path, "args": [node(i)]} for i, path in enumerate(paths)]
    with pytest.raises(ModelFormatError, match="more than 20000 modules"):
        read(graph(nodes, leaves=dict.fromkeys(paths, drop)))
