"""``torch.export`` of a module on its example inputs, its errors made plain, its graph named as ours are."""

from __future__ import annotations

import io
import logging
import sys
from contextlib import redirect_stderr
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode
from torch.utils import _pytree as pytree

from modelpress.errors import ExportError
from modelpress.graph.fixed_sizes import explain
from modelpress.graph.inputs import Inputs
from modelpress.graph.lift.source import raised_at
from modelpress.graph.outputs import plain
from modelpress.graph.quiet import quiet

LOGGERS = ("torch._subclasses.fake_tensor", "torch.export", "torch.fx.experimental.symbolic_shapes")
"""They log whole graphs on the way to an error."""
HINT = "leave these dimensions out of dynamic={...}, or compute with x.shape there instead of a number"
WAYS_OUT = {
    "got FakeTensor": "sizes cannot come out of tensors: take a fixed length and masks, not packed sequences",
    "data-dependent": "a graph cannot depend on the values of tensors: take torch.where or a mask instead",
    "not a known type": "return a dict or a tuple, or register the class with torch.export.register_dataclass",
}
"""What to do, by a part of what torch says."""


@dataclass(frozen=True)
class Traced:
    """An exported module: its placeholders are the flat inputs by name, and its outputs nest as ``structure``."""

    module: fx.GraphModule
    structure: pytree.TreeSpec
    notes: tuple[str, ...]


def trace(net: nn.Module, inputs: Inputs) -> Traced:
    """Export ``net`` in its present mode.

    Raises:
        ExportError: it does not export, or a dimension cannot stay dynamic; with torch's reason.
    """
    program = _export(net, inputs)
    module = _graph_module(program)
    output = module.graph.output_node()
    leaves: Any = output.args[0]
    found = plain(pytree.tree_unflatten(leaves, program.call_spec.out_spec))
    _name_inputs(module.graph, inputs)
    return Traced(module, pytree.tree_structure(found.value), found.notes)


def _export(net: nn.Module, inputs: Inputs) -> ExportedProgram:
    args, kwargs = inputs.arguments()

    def run() -> ExportedProgram:
        printed = io.StringIO()  # torch prints the graph so far there, thousands of lines, where it fails
        with quiet(LOGGERS, logging.CRITICAL), redirect_stderr(printed):
            program = torch.export.export(net, args, kwargs, dynamic_shapes=inputs.shapes(args, kwargs))
        sys.stderr.write(printed.getvalue())
        return program

    try:
        return run()
    except Exception as e:  # torch.export raises many unrelated types; all mean that this module does not export
        fixed = explain(e, inputs, run)
        reason = f"its code fixes {fixed}" if fixed else f"{_reason(e)}{raised_at(e)}"
        told = f"{reason}; {HINT if fixed else _way_out(e, inputs)}"
        raise ExportError(f"{type(net).__name__} does not export: {told}") from e


def _way_out(error: Exception, inputs: Inputs) -> str:
    """What to do; else what the module was called with, since sizes are what most often is wrong."""
    known = next((way for said, way in WAYS_OUT.items() if said in str(error)), "")
    dtypes = ((name, str(x.dtype).removeprefix("torch."), list(x.shape)) for name, x in inputs.tensors.items())
    called = ", ".join(f"{name} {dtype} {shape}" for name, dtype, shape in dtypes)
    return known or f"it was called with {called}: are these the sizes that it takes, the batch first?"


def _reason(error: Exception) -> str:
    """torch's own words, but where they are an expression of symbols as long as the graph."""
    if isinstance(error, GuardOnDataDependentSymNode):
        return "what it does next depends on the values of a tensor"
    return _first_lines(error)


def _first_lines(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:3])[:500] or type(error).__name__


def _graph_module(program: ExportedProgram) -> fx.GraphModule:
    try:
        source = program.module(check_guards=False)
    except (RuntimeError, SyntaxError, KeyError) as e:
        hint = "rename submodules called like attributes of torch.nn.Module or GraphModule, such as 'code' or 'graph'"
        raise ExportError(f"torch.export gives no graph module: {_first_lines(e)}; {hint}") from e
    if not isinstance(source, fx.GraphModule):
        raise ExportError(f"torch.export gave a {type(source).__name__}, not a graph")
    return source


def _name_inputs(graph: fx.Graph, inputs: Inputs) -> None:
    """Name the placeholders of tensors as `Inputs` does; those of constants go."""
    by_place = {place: name for name, place in inputs.places.items()}
    placeholders = graph.find_nodes(op="placeholder")
    for place, (node, leaf) in enumerate(zip(placeholders, inputs.leaves, strict=True)):
        if isinstance(leaf, Tensor):
            node.target = by_place[place]
        else:
            graph.erase_node(node)
