"""``tensors.safetensors`` that lies, and what is no such file: each a clear ModelFormatError."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from typing import Any

import pytest
import safetensors.torch
import torch

from modelpress.errors import ModelFormatError
from modelpress.graph import tensor_file
from modelpress.graph.document import TensorRecord
from modelpress.graph.serialise import load
from tests.unit.graph.crafted import stored

FILES = stored("mlp")
TENSORS = safetensors.torch.load(FILES.tensors)


def split() -> tuple[dict[str, Any], bytes]:
    """Header and data of the sound file."""
    size = int.from_bytes(FILES.tensors[:8], "little")
    return json.loads(FILES.tensors[8 : 8 + size]), FILES.tensors[8 + size :]


def joined(header: dict[str, Any] | str | bytes, data: bytes, size: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else (header if isinstance(header, str) else json.dumps(header)).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + data


def with_header(name: str, **values: Any) -> bytes:
    header, data = split()
    header[name].update(values)
    return joined(header, data)


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("../../data.pkl", pickle.dumps({"a": 1}))
    return file.getvalue()


def pickled() -> bytes:
    file = io.BytesIO()
    torch.save({"x": torch.ones(1)}, file)
    return file.getvalue()


HEADER, DATA = split()
BEGIN, END = HEADER["head.weight"]["data_offsets"]
LENGTH = 4 * TENSORS["hidden.weight"].numel()
BAD: dict[str, bytes] = {
    "nothing": b"",
    "a header's length alone": FILES.tensors[:8],
    "half a header": FILES.tensors[:100],
    "one byte less": FILES.tensors[:-1],
    "one byte more": FILES.tensors + b"\0",
    "a header of exabytes": joined(HEADER, DATA, 2**63 - 1),
    "a header of 2^64 - 1 bytes": joined(HEADER, DATA, 2**64 - 1),
    "a header longer than the file": joined(HEADER, DATA, 8 * 2**20),
    "a header of nothing": joined(HEADER, DATA, 0),
    "a header that is no JSON": joined("{" * 99, DATA),
    "a header that is a list": joined("[]", DATA),
    "a header of invalid UTF-8": joined(b'{"\xff\xfe": 1}', DATA),
    "a header with spaces before": joined("   " + json.dumps(HEADER), DATA),
    "a header nested deeply": joined('{"a":' + "[" * 100_000 + "]" * 100_000 + "}", DATA),
    "another shape": with_header("head.weight", shape=[1, 1]),
    "a shape of petabytes": with_header("head.weight", shape=[2**31, 2**31]),
    "a shape that overflows": with_header("head.weight", shape=[2**63, 2**63]),
    "a negative shape": with_header("head.weight", shape=[-2, 8]),
    "an unknown dtype": with_header("head.weight", dtype="F33"),
    "another dtype": with_header("head.weight", dtype="F64"),
    "offsets past the end": with_header("head.weight", data_offsets=[BEGIN, END + 2**40]),
    "offsets backwards": with_header("head.weight", data_offsets=[END, BEGIN]),
    "offsets before the begin": with_header("head.weight", data_offsets=[-4, END]),
    "tensors that overlap": with_header("hidden.weight", data_offsets=[BEGIN, BEGIN + LENGTH]),
    "a hole between tensors": with_header("head.weight", data_offsets=[BEGIN + 4, END + 4]),
    "data of no tensor": joined(HEADER, DATA + bytes(64)),
    "a zip renamed": zipped(),
    "a pickle renamed": pickle.dumps({"a": torch.ones(1)}),
    "a file of torch.save": pickled(),
    "a name twice": joined(json.dumps(HEADER)[:-1] + ', "head.weight": ' + json.dumps(HEADER["norm.bias"]) + "}", DATA),
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_lies_is_refused(name: str) -> None:
    with pytest.raises(ModelFormatError, match=r"tensors\.safetensors|head\.weight"):
        load(FILES.graph_json, BAD[name])


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.complex64, torch.uint16])
def test_a_dtype_without_a_word_is_refused(dtype: torch.dtype) -> None:
    odd = {**TENSORS, "head.weight": torch.zeros(TENSORS["head.weight"].shape).to(dtype)}
    with pytest.raises(ModelFormatError, match="dtypes are"):
        load(FILES.graph_json, safetensors.torch.save(odd))


def test_a_header_may_have_any_length() -> None:
    """Data that begins at an odd place is copied to a sound one."""
    for spaces in range(1, 8):
        loaded = load(FILES.graph_json, joined(json.dumps(HEADER) + " " * spaces, DATA))
        assert torch.equal(loaded.module.get_submodule("head").weight, TENSORS["head.weight"])  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [TENSORS["head.weight"].T.contiguous(), TENSORS["head.weight"].int()])
def test_wrong_shapes_and_dtypes_are_refused(bad: torch.Tensor) -> None:
    with pytest.raises(ModelFormatError, match=r"head\.weight"):
        load(FILES.graph_json, safetensors.torch.save({**TENSORS, "head.weight": bad}))


def test_weights_may_be_anything_that_floats_are() -> None:
    """A model that diverged is a model: its evaluation says so, not its format."""
    odd = torch.full_like(TENSORS["head.weight"], torch.nan)
    loaded = load(FILES.graph_json, safetensors.torch.save({**TENSORS, "head.weight": odd}))
    assert bool(loaded.module.get_submodule("head").weight.isnan().all())  # type: ignore[operator]


@pytest.mark.parametrize(("name", "value"), [("scale", float("nan")), ("scale", -1.0), ("zero_point", 4096)])
def test_a_grid_that_is_none_is_refused(name: str, value: float) -> None:
    files = stored("quantized")
    tensors = safetensors.torch.load(files.tensors)
    tensors[f"grid_0.{name}"].fill_(value)
    with pytest.raises(ModelFormatError, match=r"leaves\.grid_0: .* is no grid"):
        load(files.graph_json, safetensors.torch.save(tensors))


def test_a_hundred_thousand_names_are_refused() -> None:
    many = {f"t{i}": torch.zeros(0) for i in range(100_000)}
    with pytest.raises(ModelFormatError, match=r"different tensors|header of"):
        load(FILES.graph_json, safetensors.torch.save(many))


def test_many_ties_to_one_tensor_are_linear() -> None:
    """19,000 names of one tensor; what was quadratic would not end."""
    record = TensorRecord(kind="buffer")
    ties = {f"t{i}": TensorRecord(kind="buffer", tied_to="own") for i in range(19_000)}
    read = tensor_file.read(safetensors.torch.save({"own": torch.zeros(1)}), {"own": record, **ties})
    assert len({id(t) for t in read.values()}) == 1


def test_a_graph_renamed_is_refused() -> None:
    for data in (zipped(), pickled(), pickle.dumps({"a": 1}), FILES.tensors):
        with pytest.raises(ModelFormatError, match=r"graph\.json is no JSON"):
            load(data, FILES.tensors)


def test_names_that_are_paths_of_files_are_refused() -> None:
    for name in ("../x", "/etc/passwd", "a//b", "a..b", ".a", "a.", "C:\\x", "a b", "a\u0000"):
        graph = json.loads(FILES.graph_json)
        graph["tensors"][name] = {"kind": "buffer"}
        with pytest.raises(ModelFormatError, match="is no path"):
            load(json.dumps(graph).encode(), safetensors.torch.save({**TENSORS, name: torch.zeros(1)}))


def test_a_truth_is_nothing_or_one() -> None:
    """Torch takes any byte for a truth; those beyond one are neither equal nor unequal to it."""
    bytes_ = torch.tensor([0, 1, 2], dtype=torch.uint8).view(torch.bool)
    records = {"keep": TensorRecord(kind="buffer")}
    with pytest.raises(ModelFormatError, match="'keep' is BOOL and holds other bytes"):
        tensor_file.read(safetensors.torch.save({"keep": bytes_}), records)
    assert tensor_file.read(safetensors.torch.save({"keep": bytes_[:2]}), records)["keep"].tolist() == [False, True]


def test_a_tensor_of_seventeen_dimensions_is_refused() -> None:
    with pytest.raises(ModelFormatError, match="17 dimensions"):
        tensor_file.read(safetensors.torch.save({"x": torch.ones([1] * 17)}), {"x": TensorRecord(kind="buffer")})
