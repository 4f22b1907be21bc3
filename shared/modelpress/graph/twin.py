"""A module's twin: the same module at another float dtype, exported to tell which dtypes the user's code chose.

`modelpress.graph.lift_dtypes` compares the two graphs. The twin's tensors are fake: they have shapes and no memory.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from modelpress.errors import ExportError
from modelpress.graph.align import flat_arguments
from modelpress.graph.inputs import Inputs
from modelpress.graph.lift_creators import CREATORS
from modelpress.graph.lift_dtypes import CASTS, dtype_of
from modelpress.graph.trace import trace


def names_dtypes(graph: fx.Graph) -> bool:
    """Whether any call of an exported graph casts to, or makes a tensor of, a float dtype."""
    for node in graph.nodes:
        dtype = dtype_of(node)
        if node.op != "call_function" or dtype is None or not dtype.is_floating_point:
            continue
        if node.target in CASTS or node.target in CREATORS or any(a is dtype for a in flat_arguments(node)):
            return True
    return False


def trace_twin(net: nn.Module, inputs: Inputs) -> fx.GraphModule | None:
    """The graph of ``net``, in its present mode, with bfloat16 in place of its float dtype (float32 for bfloat16).

    None where the module has no one float dtype, cannot be copied, or does not export at the other one.
    """
    tensors = [*net.parameters(), *net.buffers()]
    dtypes = {t.dtype for t in tensors or inputs.tensors.values() if t.is_floating_point()}
    if len(dtypes) != 1:
        return None
    own = dtypes.pop()
    other = torch.float32 if own is torch.bfloat16 else torch.bfloat16
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
