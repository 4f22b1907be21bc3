"""The parts of ``graph/FORMAT.md`` that the code says better: ``python -m docs.format`` writes them anew.

Limits, leaf types, operators, words and the example come from where they are enforced; a test compares the page.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn

from modelpress.constraints.registry import CONSTRAINTS
from modelpress.graph import arguments, bounds, document, leaves, names, operators, reading, tensor_file
from modelpress.graph.model import Model, TensorSpec
from modelpress.graph.serialise import Serialised, save

PAGE = Path(__file__).resolve().parents[1] / "shared" / "modelpress" / "graph" / "FORMAT.md"
FAMILIES = (
    "UNARY", "BINARY", "REDUCTIONS", "POOLING", "RESAMPLING", "SHAPES", "INDEXING", "CREATORS", "FUNCTIONAL",
)  # fmt: skip
LETTERS = {"t": "node", "n": "node or int", "i": "int", "f": "node or number", "d": "dtype or null"}
WORDS = {(1, 2**31 - 1): "size", (0, 2**31 - 1): "count"}
"""Ranges of integers that the page has words for."""
AFFINE = {"weight": "[num_features]", "bias": "[num_features]"}
STATISTICS = {"running_mean": "[num_features]", "running_var": "[num_features]", "num_batches_tracked": "[] int64"}
CONV = {"weight": "[out_channels, in_channels / groups, *kernel_size]", "bias": "[out_channels]"}
TRANSPOSED = {"weight": "[in_channels, out_channels / groups, *kernel_size]", "bias": "[out_channels]"}
NORM = {"weight": "normalized_shape", "bias": "normalized_shape"}
RECURRENT = {
    "weight_ih_l{k}": "[g * hidden_size, input_size or the width below]",
    "weight_hh_l{k}": "[g * hidden_size, hidden_size or proj_size]",
    "bias_ih_l{k}, bias_hh_l{k}": "[g * hidden_size]",
}
TENSORS: Mapping[str, Mapping[str, str]] = {
    **{f"Conv{n}d": CONV for n in (1, 2, 3)},
    **{f"ConvTranspose{n}d": TRANSPOSED for n in (1, 2, 3)},
    **{f"BatchNorm{n}d": {**AFFINE, **STATISTICS} for n in (1, 2, 3)},
    "Linear": {"weight": "[out_features, in_features]", "bias": "[out_features]"},
    "LayerNorm": NORM,
    "RMSNorm": {"weight": "normalized_shape"},
    "GroupNorm": {"weight": "[num_channels]", "bias": "[num_channels]"},
    "Embedding": {"weight": "[num_embeddings, embedding_dim]"},
    "RNN": RECURRENT,
    "GRU": RECURRENT,
    "LSTM": {**RECURRENT, "weight_hr_l{k}": "[proj_size, hidden_size]"},
    "FakeQuantize": {"scale": "[] float32", "zero_point": "[] int32"},
}
"""Tensors of each type of leaf, in the words of its config; those that the config switches off are absent."""


def page(text: str) -> str:
    """``text`` with every generated part made anew; a part is what stands between its two comments."""
    for name, make in PARTS.items():
        before, start, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        if not end:
            raise ValueError(f"FORMAT.md has no part '{name}'")
        text = f"{before}{start}{make()}\n{end}{after}"
    return text


# --- limits and words


def limits() -> str:
    rows = [
        ("`graph.json`", f"{document.MAX_BYTES / 2**20:.0f} MiB"),
        ("its JSON", f"{document.MAX_VALUES:,} values, {document.MAX_DEPTH} deep"),
        *((f"`{part}`", f"{count:,} entries") for part, count in document.COUNTS.items()),
        ("JSON values of the output", f"{document.MAX_OUTPUT_VALUES:,}"),
        ("integers", "20 digits in the text, 64 bits as arguments and as computed sizes"),
        ("lists of arguments", f"{arguments.MAX_LIST:,} entries"),
        ("a sample of an input", f"{document.MAX_ELEMENTS:,} elements, 16 dimensions"),
        ("a symbol's example", f"1 to {document.MAX_SIZE:,}"),
        ("paths", f"{names.MAX_DEPTH} steps, {names.MAX_LETTERS} letters"),
        ("modules, those that only hold others included", f"{reading.MAX_MODULES:,}"),
        ("header of `tensors.safetensors`", f"{tensor_file.MAX_HEADER_BYTES / 2**20:.0f} MiB"),
        ("any tensor that flows", f"{bounds.MAX_ELEMENTS:,} elements, {bounds.MAX_RANK} dimensions"),
        ("all that are no views, together", f"{bounds.MAX_TOTAL:,} elements"),
        ("tensors made, intermediates included", f"{bounds.MAX_TENSORS:,}"),
        ("pieces of one split, chunk or unbind", f"{bounds.MAX_PIECES:,}"),
        ("a convolution's stride times its channels, 16 at least", f"{bounds.MAX_STRIDE:,}"),
    ]  # fmt: skip
    return _table(("what", "at most"), rows)


def argument_words() -> str:
    rows = [
        ("`{\"node\": i}`", "the value of node *i*, which is earlier"),
        ("`{\"dtype\": D}`", ", ".join(arguments.DTYPES)),
        ("`{\"memory_format\": M}`", ", ".join(arguments.MEMORY_FORMATS)),
        ("`{\"float\": F}`", ", ".join(arguments.FLOATS)),
    ]  # fmt: skip
    return _table(("word", "may be"), rows)


def texts() -> str:
    rows = [(f"`{name}`", ", ".join(words)) for name, words in operators.WORDS.items()]
    return _table(("argument", "text"), [*rows, ("`equation`", f"`{operators.EQUATION.pattern}`")])


# --- leaves and constraints


def leaf_types() -> str:
    rows = []
    for name, config in leaves.CONFIGS.items():
        schema = config.model_json_schema()
        fields = ", ".join(f"`{field}` {_kind(about)}" for field, about in schema.get("properties", {}).items())
        tensors = ", ".join(f"`{n}` {shape}" for n, shape in TENSORS.get(name, {}).items()) or "none"
        fewest, most = config.arity
        rows.append((f"`{name}`", fields or "none", tensors, str(fewest) if fewest == most else f"{fewest} to {most}"))
    return _table(("type", "config", "tensors", "arguments"), rows)


def _kind(about: Mapping[str, Any]) -> str:
    """A JSON schema's property in few words."""
    if "anyOf" in about:
        return " or ".join(_kind(a) for a in about["anyOf"])
    if "enum" in about:
        return " or ".join(f'"{word}"' for word in about["enum"])
    if about["type"] == "array":
        return f"[{_kind(about['items'])}]"
    words = {"integer": "int", "number": "float", "boolean": "bool", "null": "null"}
    low, high = about.get("minimum"), about.get("maximum")
    word = WORDS.get((low, high)) if low is not None and high is not None else None
    if word:
        return word
    return words[about["type"]] + ("" if low is None else f" >= {low}" if high is None else f" {low} to {high}")


def constraint_types() -> str:
    rows = [
        (f"`{name}`", ", ".join(f"`{t}`" for t in kind.tensor_names), (kind.__doc__ or "").splitlines()[0])
        for name, kind in CONSTRAINTS.items()
    ]
    return _table(("type", "tensors", "what"), rows)


# --- operators


def operator_families() -> str:
    lines = []
    for family in FAMILIES:
        found = ", ".join(f"`{name}`" for name in getattr(operators, family))
        lines.append(f"**{family.lower()}**: {found}.")
    return "\n\n".join(lines)


def plain_functions() -> str:
    rows = [(f"`{name}`", ", ".join(LETTERS[k] for k in plain.arguments)) for name, plain in operators.PLAIN.items()]
    return _table(("target", "arguments"), rows)


# --- the example


def example() -> Serialised:
    """Two layers with a ReLU between them."""
    root = nn.Module()
    root.first, root.second = nn.Linear(2, 2), nn.Linear(2, 1, bias=False)
    for tensor, values in ((root.first.weight, [[1.0, 2.0], [3.0, 4.0]]), (root.first.bias, [0.5, -0.5])):
        tensor.data = torch.tensor(values)
    root.second.weight.data = torch.tensor([[1.0, -1.0]])
    graph = fx.Graph()
    hidden = graph.call_module("first", (graph.placeholder("x"),))
    graph.output(graph.call_module("second", (graph.call_function(torch.ops.aten.relu.default, (hidden,)),)))
    return save(Model(fx.GraphModule(root, graph), (TensorSpec("x", "float32", ("batch", 2)),)))


def example_graph() -> str:
    """The very bytes, which are one line, and the same with lines."""
    data = example().graph_json.decode()
    return f"```json\n{data}\n```\n\nThe same, laid out:\n\n```json\n{_laid_out(json.loads(data))}\n```"


def _laid_out(value: Mapping[str, Any]) -> str:
    def short(part: Any) -> str:
        return json.dumps(part, sort_keys=True)

    lines = []
    for key, part in value.items():
        if isinstance(part, dict) and len(short(part)) > 80:
            inner = ",\n".join(f"    {json.dumps(k)}: {short(v)}" for k, v in part.items())
            lines.append(f"  {json.dumps(key)}: {{\n{inner}\n  }}")
        elif isinstance(part, list) and len(short(part)) > 80:
            inner = ",\n".join(f"    {short(v)}" for v in part)
            lines.append(f"  {json.dumps(key)}: [\n{inner}\n  ]")
        else:
            lines.append(f"  {json.dumps(key)}: {short(part)}")
    return "{\n" + ",\n".join(lines) + "\n}"


def example_tensors() -> str:
    return f"```\n{hexdump(example().tensors)}\n```"


def hexdump(data: bytes) -> str:
    """Sixteen bytes a line: where, what, and what of it is ASCII."""
    lines = []
    for at in range(0, len(data), 16):
        row = data[at : at + 16]
        letters = "".join(chr(b) if 32 <= b < 127 else "." for b in row)
        lines.append(f"{at:08x}  {row.hex(' '):<47}  |{letters}|")
    return "\n".join(lines)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    cells = [[c.replace("|", "\\|") for c in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in [list(head), ["---"] * len(head), *cells])


PARTS: Mapping[str, Callable[[], str]] = {
    "limits": limits,
    "argument words": argument_words,
    "texts": texts,
    "leaf types": leaf_types,
    "constraint types": constraint_types,
    "operators": operator_families,
    "plain functions": plain_functions,
    "example graph": example_graph,
    "example tensors": example_tensors,
}


def main() -> None:
    PAGE.write_text(page(PAGE.read_text()))


if __name__ == "__main__":
    main()
