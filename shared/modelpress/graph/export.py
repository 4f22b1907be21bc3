"""From the user's module to a `Model`, in the user's own process: export, lift, and check what was carried.

Two exports are made: in eval mode, which gives the graph, and in train mode, which shows what the model does only in
training. What the graph does not carry is named in `Model.notes`; an output that differs is an error.
"""

from __future__ import annotations

import keyword

import torch
from torch import Tensor, fx, nn
from torch.nn.parameter import is_lazy

from modelpress.errors import ExportError
from modelpress.graph.as_it_was import as_it_was, contiguous_weights
from modelpress.graph.inputs import Dynamic, ExampleInputs, Inputs, read_inputs
from modelpress.graph.lift.lifter import Lifter, check_size
from modelpress.graph.model import Model
from modelpress.graph.parity import compare
from modelpress.graph.trace import trace
from modelpress.graph.twin import autocast_dtypes, names_dtypes, trace_twin

WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel)


def export(
    net: nn.Module, example_inputs: ExampleInputs, *, dynamic: Dynamic | None = None, check: bool = True
) -> Model:
    """Export and lift ``net``; the module itself is left as it was, mode and buffers included.

    The graph takes the tensors of ``example_inputs`` flat and in order: by ``forward``'s parameter names, nested ones
    by the way to them (``past_0_key``). Constants among them are fixed. Outputs come back in lists, tuples and dicts:
    mappings and dataclasses as dicts, named tuples as tuples.

    Args:
        net: any module that ``torch.export`` takes.
        example_inputs: a tensor, a sequence of what ``forward`` takes by position, or a mapping of what it takes by
            keyword; values may nest tensors in lists, tuples and dicts.
        dynamic: for each flat input name, a symbol for each dimension whose size may change: ``{"tokens": {0: "batch",
            1: "length"}}``. Equal symbols are equal sizes; what is left out is fixed. By default dimension 0 is
            ``batch`` in every input whose first dimension is as long as the first input's.
        check: compare outputs (bit-equal, at several sizes), gradients and behaviour in training with the module.

    Raises:
        ExportError: the module does not export, a dimension cannot stay dynamic, an operator is not in the format
            (named with the user's line), or the lifted graph's output differs.
    """
    net = _unwrapped(net)
    _check_parts(net)
    inputs = read_inputs(net, example_inputs, dynamic)
    _check_devices(net, inputs)
    with as_it_was(net) as changes, contiguous_weights(net), torch.compiler.set_stance("force_eager"):
        model = _lift(net, inputs)
        notes = [*model.notes, *_hooks(net)]
        if check:
            notes += compare(net, model.module, inputs)
    return model.with_(notes=tuple(dict.fromkeys([*notes, *changes])))


def _lift(net: nn.Module, inputs: Inputs) -> Model:
    """The lifted graph of ``net``, on weights of its own."""
    evaluated = trace(net.eval(), inputs)
    check_size(evaluated.module.graph)
    graphs = [m.graph for m in evaluated.module.modules() if isinstance(m, fx.GraphModule)]  # its regions among them
    twin = trace_twin(net, inputs, autocast_dtypes(graphs)) if any(map(names_dtypes, graphs)) else None
    notes = list(evaluated.notes)
    trained = None
    try:
        trained = trace(net.train(), inputs).module
    except ExportError as e:
        notes.append(f"in training mode {e}; what the module does only in training cannot be told from its graph")
    net.eval()
    norms = nn.modules.batchnorm._BatchNorm
    momenta = {path: module.momentum for path, module in net.named_modules() if isinstance(module, norms)}
    lifter = Lifter(evaluated.module, momenta, twin, trained)
    module = lifter.run(evaluated.structure)
    _own_tensors(module)
    return Model(module.eval(), inputs.specs(), inputs.stored_sizes(), notes=(*notes, *lifter.notes))


def _own_tensors(module: fx.GraphModule) -> None:
    """Give the graph copies of the weights (ties kept), so that compressing never touches the user's module."""
    copies: dict[int, Tensor] = {}

    def own(tensor: Tensor) -> Tensor:
        if id(tensor) not in copies:
            copy = tensor.detach().clone()
            is_parameter = isinstance(tensor, nn.Parameter)
            copies[id(tensor)] = nn.Parameter(copy, requires_grad=tensor.requires_grad) if is_parameter else copy
        return copies[id(tensor)]

    for owner in module.modules():
        for name, tensor in [*owner._parameters.items(), *owner._buffers.items()]:
            if tensor is not None:
                setattr(owner, name, own(tensor))  # recurrent layers keep a list of their weights, which this renews


def _unwrapped(net: nn.Module) -> nn.Module:
    if isinstance(net, torch._dynamo.OptimizedModule):
        return _unwrapped(net._orig_mod)
    return _unwrapped(net.module) if isinstance(net, WRAPPERS) else net


def _check_parts(net: nn.Module) -> None:
    for path, module in net.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            where = f"'{path}'" if path else "the module"
            raise ExportError(f"{where} is a TorchScript module, which does not export; pass the one it was made from")
    for name, tensor in [*net.named_parameters(), *net.named_buffers()]:
        if is_lazy(tensor):
            raise ExportError(f"'{name}' has no size yet; call the module once before the export")
        for word in filter(keyword.iskeyword, name.split(".")):
            raise ExportError(f"'{name}': torch.export makes no graph of a name with Python's word '{word}'; rename it")


def _check_devices(net: nn.Module, inputs: Inputs) -> None:
    devices: dict[str, str] = {}
    for name, tensor in [*net.named_parameters(), *net.named_buffers(), *inputs.tensors.items()]:
        devices.setdefault(str(tensor.device), name)
    if "meta" in devices:
        raise ExportError(f"'{devices['meta']}' is on the meta device and has no values; load the weights first")
    if len(devices) > 1:
        where = ", ".join(f"'{name}' is on {device}" for device, name in devices.items())
        raise ExportError(f"{where}: move the module and its example inputs to one device")


def _hooks(net: nn.Module) -> list[str]:
    notes = []
    for path, module in net.named_modules():
        if module._forward_hooks or module._forward_pre_hooks:
            notes.append(f"hooks of '{path}': what they do to tensors is part of the graph, what else they do is not")
        if module._backward_hooks or module._backward_pre_hooks:
            notes.append(f"backward hooks of '{path}' are not carried")
    return notes
