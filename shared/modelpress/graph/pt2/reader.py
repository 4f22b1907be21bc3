"""Reading ``.pt2`` archives, which ``torch.export.save`` writes, as models: nothing is unpickled, nothing evaluated.

MLflow logs PyTorch models so by default. ``torch.export.load`` is never called: it unpickles.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from pydantic import ValidationError
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils import _pytree as pytree

from modelpress.errors import ExportError, ModelFormatError
from modelpress.graph import leaves
from modelpress.graph.bounds import check_shapes
from modelpress.graph.document import MAX_SIZE, InputRecord
from modelpress.graph.lift.creators import dtype_arguments
from modelpress.graph.lift.lifter import Lifter
from modelpress.graph.limited_json import read_json
from modelpress.graph.model import BATCH, Model, TensorSpec
from modelpress.graph.pt2.archive import Record, opened, validated
from modelpress.graph.pt2.program import GraphReader, GraphRecord, SignatureRecord
from modelpress.graph.pt2.source import Source
from modelpress.graph.pt2.words import Dynamic, TensorValue

SCHEMA_MAJOR = 8
UNCHECKED = "read from a .pt2 archive: outputs and gradients could not be compared with the module it was exported from"


class CallRecord(Record):
    fqn: str
    signature: dict[str, Any] | None = None


class ModuleRecord(Record):
    graph: GraphRecord
    signature: SignatureRecord
    module_call_graph: list[CallRecord]


class VersionRecord(Record):
    major: int
    minor: int


class ProgramRecord(Record):
    graph_module: ModuleRecord
    schema_version: VersionRecord


def read_pt2(archive: str | Path | bytes) -> Model:
    """The model in a ``torch.export.save`` archive, which must be of evaluation mode.

    Args:
        archive: a file's path, or its bytes.

    Returns:
        A dense model with memory of its own. Its notes name what an archive cannot tell: there is no module to compare
        with, and what the module did only in training is gone.

    Raises:
        NotFoundError: there is no such file.
        ModelFormatError: no such archive, broken or hostile bytes, or a graph that the format does not hold; names the
            node and the user's line.
    """
    module, tensors = _read(archive)
    source = Source(tensors)
    reader = GraphReader(module.graph, source)
    reader.program(module.signature, tensors)
    structure, notes = output_spec(module.module_call_graph, len(module.graph.outputs))
    values = [n.meta.get("val") for n in source.graph.find_nodes(op="placeholder")]
    lifted = _lifted(source, structure).eval()
    names = [str(n.target) for n in lifted.graph.find_nodes(op="placeholder")]
    inputs, sizes, input_notes = input_specs(dict(zip(names, values, strict=True)))
    _own_counters(lifted)
    _check_words(lifted, inputs)
    check_shapes(lifted, lifted.graph, inputs, sizes)
    notes = [UNCHECKED, *reader.notes, *input_notes, *notes, *_momentum_notes(lifted), *_dtype_notes(lifted)]
    return Model(lifted, inputs, sizes, notes=tuple(notes))


def _read(archive: str | Path | bytes) -> tuple[ModuleRecord, dict[str, Tensor]]:
    with opened(archive) as file:
        name = f"models/{file.model_name}.json"
        program = validated(ProgramRecord, file.json(name), name)
        if program.schema_version.major != SCHEMA_MAJOR:
            raise ModelFormatError(
                f"{name} has schema version {program.schema_version.major}; this modelpress reads {SCHEMA_MAJOR}"
            )
        return program.graph_module, file.tensors()


def _lifted(source: Source, out_spec: pytree.TreeSpec) -> fx.GraphModule:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, on layers of no elements; the format refuses them below
            return Lifter(cast(fx.GraphModule, source), {}).run(out_spec)
    except ExportError as e:
        raise ModelFormatError(f"the archive's graph cannot be lifted: {e}") from e
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError) as e:
        # Layers that do not fit their weights: what torch's constructors raise is not of one kind.
        raise ModelFormatError(f"the archive's graph is no valid graph: {type(e).__name__}: {str(e)[:300]}") from e


def _own_counters(lifted: nn.Module) -> None:
    """Give every batch-norm a counter of its own: lifting takes it from a state dict, whose tensors share memory."""
    for name, module in lifted.named_modules():
        if isinstance(module, _BatchNorm) and module.num_batches_tracked is not None:
            counter = module.num_batches_tracked
            if counter.dtype != torch.int64 or counter.ndim:
                raise ModelFormatError(f"'{name}.num_batches_tracked' is a {counter.dtype}, not one int64")
            module.num_batches_tracked = counter.detach().clone()


def _check_words(lifted: fx.GraphModule, specs: tuple[TensorSpec, ...]) -> None:
    """Refuse inputs and layers that the format has no words for: empty ones, negative strides."""
    called = {str(n.target) for n in lifted.graph.find_nodes(op="call_module")}
    try:
        for spec in specs:
            InputRecord(name=spec.name, dtype=spec.dtype, shape=spec.shape)
        for path in sorted(called):
            leaf = lifted.get_submodule(path)
            _check_like(path, leaf, leaves.construct(*leaves.describe(leaf, path), path))
    except ValidationError as e:
        raise ModelFormatError(
            f"the archive's graph is not of the format: {e.errors()[0]['msg']}: {str(e)[:200]}"
        ) from e


def _check_like(path: str, leaf: nn.Module, built: nn.Module) -> None:
    """Refuse tensors of another shape or kind than the layer's configuration builds (a bias that only broadcasts)."""
    for part in ("named_parameters", "named_buffers"):
        ours, wanted = (dict(getattr(m, part)(remove_duplicate=False)) for m in (leaf, built))
        for name in {**ours, **wanted}:
            if name not in ours or name not in wanted or ours[name].shape != wanted[name].shape:
                raise ModelFormatError(f"the tensor '{path}.{name}' does not fit its layer, {built}")


def input_specs(values: Mapping[str, Any]) -> tuple[tuple[TensorSpec, ...], dict[str, int], list[str]]:
    """Inputs, the sizes that their symbols had in the example, and notes on what shapes cannot say."""
    symbols: dict[str, str] = {}
    sizes: dict[str, int] = {}
    notes: list[str] = []
    specs = []
    for name, value in values.items():
        if not isinstance(value, TensorValue):
            raise ModelFormatError(f"the archive says nothing of the input '{name}'")
        shape = tuple(n if isinstance(n, int) else _symbol(n, i, symbols, sizes) for i, n in enumerate(value.shape))
        notes += [
            f"dimension {i} of '{name}' is computed from others ({n.expression[:80]}): give sizes that agree"
            for i, n in enumerate(value.shape)
            if isinstance(n, Dynamic) and n.symbol is None
        ]
        specs.append(TensorSpec(name, str(value.dtype).removeprefix("torch."), shape))
    if BATCH not in sizes:
        notes.append("exported at a fixed batch: the graph may run only at that batch; export with a dynamic one")
    return tuple(specs), sizes, notes


def _symbol(size: Dynamic, dimension: int, symbols: dict[str, str], sizes: dict[str, int]) -> str:
    """The symbol for a dynamic dimension: ``batch`` for what comes first, else ``size_1``, ``size_2``...

    An export keeps first dimensions apart that no operator ties (a mask that broadcasts); where they were equal in
    the example, all are the batch.
    """
    if size.expression not in symbols:
        example = min(size.hint or 2, MAX_SIZE)
        is_batch = dimension == 0 and sizes.get(BATCH, example) == example
        name = BATCH if is_batch else f"size_{sum(s != BATCH for s in sizes) + 1}"
        symbols[size.expression] = name
        sizes[name] = example
    return symbols[size.expression]


def _momentum_notes(module: nn.Module) -> list[str]:
    layers = [name for name, m in module.named_modules() if isinstance(m, _BatchNorm) and m.momentum == 0.0]
    if not layers:
        return []
    return [f"momentum 0 of {', '.join(layers[:5])}: an export writes 0 for a cumulative average (momentum=None) too"]


def _dtype_notes(module: fx.GraphModule) -> list[str]:
    if not any(dtype_arguments(node) for node in module.graph.nodes if node.op == "call_function"):
        return []
    return [
        "float dtypes stay as exported, since one export does not tell which are the model's: it may not run in others"
    ]


# --- the output's structure


def output_spec(calls: list[CallRecord], outputs: int) -> tuple[pytree.TreeSpec, list[str]]:
    """The structure of nested outputs in plain containers, and a note for each class that they replace.

    Raises:
        ModelFormatError: none, or of another number of outputs, or a class whose fields the archive does not name.
    """
    whole = next((c.signature for c in calls if c.fqn == ""), None)
    value = _json(whole.get("out_spec") if whole else None)
    if not isinstance(value, list) or len(value) != 2 or value[0] != 1:
        raise ModelFormatError("out_spec is of no version that this modelpress reads")
    notes: dict[str, None] = {}
    spec = pytree.tree_structure(_skeleton(value[1], notes))
    if spec.num_leaves != outputs:
        raise ModelFormatError(f"out_spec has {spec.num_leaves} outputs, the graph {outputs}")
    return spec, list(notes)


def _skeleton(value: Any, notes: dict[str, None]) -> Any:
    """Lists, tuples and dicts as ``value`` nests them, with 0 where a tensor stands."""
    if not isinstance(value, dict) or not isinstance(value.get("children_spec"), list):
        raise ModelFormatError(f"out_spec: {str(value)[:120]!r} is no structure")
    kind, children = value.get("type"), [_skeleton(child, notes) for child in value["children_spec"]]
    if kind is None and not children:
        return 0
    if not isinstance(kind, str):
        raise ModelFormatError(f"out_spec: {str(kind)[:120]!r} is no class's name")
    if kind in ("builtins.list", "torch.fx.immutable_collections.immutable_list"):
        return children
    if kind in ("builtins.tuple", *_UNNAMED):
        made: Any = tuple(children)
    else:
        made = dict(zip(_keys(value.get("context"), len(children), kind), children, strict=True))
    if not kind.startswith(("builtins.", "torch.fx.")):
        name = kind.rpartition(".")[2][:80]
        notes[f"the graph returns a {type(made).__name__} where the module returns a {name}"] = None
    return made


def _keys(context: Any, count: int, kind: str) -> list[str]:
    """Keys of a dict, or fields of a class (those of dataclasses stand beside the names of their empty fields)."""
    keys = _json(context)
    if isinstance(keys, list) and len(keys) == 2 and all(isinstance(part, list) for part in keys):
        keys = keys[0]
    if (
        not isinstance(keys, list)
        or not all(isinstance(k, str) for k in keys)
        or not len({*keys}) == len(keys) == count
    ):
        raise ModelFormatError(
            f"the output is a {kind[:120]!r} with the keys {str(context)[:120]!r}; return tuples, lists or dicts"
        )
    return keys


def _json(text: Any) -> Any:
    if not isinstance(text, str):
        raise ModelFormatError("the archive does not say how the outputs are nested")
    return read_json(text.encode("utf-8", "replace"), "out_spec", max_bytes=2**20, max_depth=64)


_UNNAMED = ("collections.namedtuple", "collections.deque")
