"""A module's twin: the same module at another float dtype, exported to tell which dtypes the user's code chose.

`modelpress.graph.lift.dtypes` compares the two graphs. The twin's tensors are fake: they have shapes and no memory.
"""

from __future__ import annotations

import copy
from collections.abc import Container, Iterable
from dataclasses import replace

import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from modelpress.errors import ExportError
from modelpress.graph.inputs import Inputs
from modelpress.graph.lift.align import flat_arguments
from modelpress.graph.lift.creators import CREATORS
from modelpress.graph.lift.dtypes import CASTS, dtype_of
from modelpress.graph.trace import trace

OTHERS = (torch.bfloat16, torch.float32, torch.float16, torch.float64)


def names_dtypes(graph: fx.Graph) -> bool:
    """Whether any call of an exported graph casts to, or makes a tensor of, a float dtype."""
    for node in graph.nodes:
        dtype = dtype_of(node)
        if node.op != "call_function" or dtype is None or not dtype.is_floating_point:
            continue
        if node.target in CASTS or node.target in CREATORS or any(a is dtype for a in flat_arguments(node)):
            return True
    return False


def autocast_dtypes(graphs: Iterable[fx.Graph]) -> set[torch.dtype]:
    """What the regions of an exported graph are cast to by autocast."""
    target = torch.ops.higher_order.wrap_with_autocast
    return {node.args[1] for graph in graphs for node in graph.find_nodes(op="call_function", target=target)}


def trace_twin(net: nn.Module, inputs: Inputs, avoid: Container[torch.dtype] = ()) -> fx.GraphModule | None:
    """The graph of ``net``, in its present mode, with another float dtype in place of its own.

    That dtype is none of ``avoid``: what autocast casts to would not show in a twin that has it already. None where
    the module has no one float dtype, cannot be copied, or does not export at the other one.
    """
    tensors = [*net.parameters(), *net.buffers()]
    dtypes = {t.dtype for t in tensors or inputs.tensors.values() if t.is_floating_point()}
    if len(dtypes) != 1:
        return None
    own = dtypes.pop()
    other = next(d for d in OTHERS if d is not own and d not in avoid)
    mode = FakeTensorMode(allow_non_fake_inputs=True, shape_env=ShapeEnv())
    try:
        twin = copy.deepcopy(net, {id(t): _fake(mode, t, other if t.dtype is own else t.dtype) for t in tensors})
        leaves = tuple(x.to(other) if isinstance(x, Tensor) and x.dtype is own else x for x in inputs.leaves)
        return trace(twin, replace(inputs, leaves=leaves)).module
    except (ExportError, TypeError, RuntimeError):  # no deep copy: locks and generators refuse with these
        return None


def _fake(mode: FakeTensorMode, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    with mode:
        fake = torch.empty_strided(tensor.shape, tensor.stride(), dtype=dtype, device=tensor.device)
    return nn.Parameter(fake, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else fake
