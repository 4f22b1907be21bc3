"""FORMAT.md says what the code does: its tables and its example are made from it, and its words are the code's."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import safetensors.torch
import torch

from docs.format import FAMILIES, PAGE, TENSORS, example, page
from modelpress.graph import leaves, operators
from modelpress.graph.arguments import DTYPES
from modelpress.graph.document import VERSION
from modelpress.graph.serialise import load

TEXT = PAGE.read_text()
CONFIGS: dict[str, dict[str, list[int]]] = {
    "Conv1d": {"kernel_size": [1]}, "Conv2d": {"kernel_size": [1, 1]}, "Conv3d": {"kernel_size": [1, 1, 1]},
    "ConvTranspose1d": {"kernel_size": [1]}, "ConvTranspose2d": {"kernel_size": [1, 1]},
    "ConvTranspose3d": {"kernel_size": [1, 1, 1]},
}  # fmt: skip


def test_the_page_is_up_to_date() -> None:
    assert page(TEXT) == TEXT, "run `python -m docs.format`"


def test_the_version_is_the_codes() -> None:
    assert f"# The model format, version {VERSION}\n" in TEXT


def test_every_operator_is_in_a_family() -> None:
    listed = [name for family in FAMILIES for name in getattr(operators, family)]
    assert sorted(f"aten.{name}" for name in listed) == sorted(operators.targets().keys() - operators.PLAIN.keys())


def test_the_examples_bytes_are_those_that_are_written() -> None:
    """Read from the page itself: the line of JSON, and the bytes of the dump."""
    files = example()
    line = next(line for line in TEXT.splitlines() if line.startswith('{"facts"'))
    dump = "".join(re.findall(r"^[0-9a-f]{8}  ((?:[0-9a-f]{2} ?)+)", TEXT, re.MULTILINE))
    assert line.encode() == files.graph_json
    assert bytes.fromhex(dump) == files.tensors
    laid_out = json.loads(TEXT.split("The same, laid out:\n\n```json\n")[1].split("```")[0])
    assert laid_out == json.loads(files.graph_json)


def test_the_example_computes_what_one_computes_by_hand() -> None:
    files = example()
    module = load(files.graph_json, files.tensors).module
    assert torch.equal(module(torch.tensor([[1.0, -1.0]])), torch.tensor([[0.0]]))
    assert torch.equal(module(torch.tensor([[1.0, 1.0]])), torch.tensor([[3.5 - 6.5]]))


def test_tensors_are_written_in_the_order_that_the_page_tells() -> None:
    order = re.search(r"order of their dtypes, ([\w, ]+?), and then of\s+their names", TEXT)
    assert order is not None
    data = safetensors.torch.save({f"t{i}": torch.zeros(1, dtype=d) for i, d in enumerate(DTYPES.values())})
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    assert size % 8 == 0
    assert [h["dtype"] for h in sorted(header.values(), key=lambda h: h["data_offsets"])] == order[1].split(", ")


@pytest.mark.parametrize("name", leaves.CONFIGS)
def test_the_tensors_of_every_leaf_type_are_told(name: str) -> None:
    """Those of a leaf with all options on."""
    schema = leaves.CONFIGS[name].model_json_schema()
    config = {field: _some(field, about) for field, about in schema["properties"].items()} | CONFIGS.get(name, {})
    for field in {"stride", "padding", "dilation", "output_padding"} & config.keys():
        config[field] = [0 if "padding" in field else 1] * len(CONFIGS[name]["kernel_size"])
    module = leaves.construct(name, config, name)
    told = {part for names in TENSORS.get(name, {}) for part in names.replace("{k}", "0").split(", ")}
    made = {n.replace("_reverse", "") for n in module.state_dict()}
    assert made == told


def _some(field: str, about: dict[str, Any]) -> object:
    """A value that ``field`` may have, such that no tensor is switched off."""
    sizes = {"proj_size": 2, "hidden_size": 4, "dropout": 0.0}
    if field in sizes:
        return sizes[field]
    if "enum" in about:
        return about["enum"][0]
    if "anyOf" in about:
        return None
    return {"boolean": True, "integer": max(1, about.get("minimum", 1)), "number": 0.5, "array": [2]}[about["type"]]
