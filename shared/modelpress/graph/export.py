"""From the user's module to a `Model`, in the user's own process: export, lift, and check what was carried.

Two exports are made: in eval mode, which gives the graph, and in train mode, which shows what the model does only in
training. What the graph does not carry is named in `Model.notes`; an output that differs is an error.
"""

from __future__ import annotations

import copy
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import Dim, ExportedProgram

from modelpress.errors import ExportError
from modelpress.graph.lift import DROPOUTS, Lifter
from modelpress.graph.model import BATCH, Model, TensorSpec
from modelpress.graph.parity import gradient_differences, output_difference, training_difference

RANDOM = ("bernoulli", "rand", "randn", "normal", "uniform", "rrelu", "multinomial")


def export(net: nn.Module, example_inputs: Tensor | Sequence[Tensor], *, check: bool = True) -> Model:
    """Export and lift ``net``; the module itself is left as it was, mode included.

    Args:
        net: any module that ``torch.export`` takes.
        example_inputs: tensors ``[batch, ...]`` as the module is called with; batch >= 2. Only the batch is dynamic.
        check: compare outputs (bit-equal), gradients and behaviour in training with the user's module.

    Raises:
        ExportError: the module does not export, an operator is not in the format (named with the user's line), or
            the lifted graph's output differs.
    """
    inputs = _checked(example_inputs)
    was_training = {m: m.training for m in net.modules()}
    try:
        evaluated = _export(net.eval(), inputs)
        notes = _training_only(evaluated, net.train(), inputs)
        net.eval()
        model = lift(evaluated, net, inputs)
        if check:
            notes += _checks(net, model, inputs)
    finally:
        for module, mode in was_training.items():
            module.training = mode
    return model.with_(notes=tuple(notes))


def lift(program: ExportedProgram, net: nn.Module, inputs: Sequence[Tensor]) -> Model:
    """The lifted graph of an eval-mode export of ``net``, on weights of its own."""
    source = _graph_module(program)
    momenta = {
        path: module.momentum
        for path, module in net.named_modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
    }
    module = Lifter(source, momenta).run(program.call_spec.out_spec)
    _own_tensors(module)
    placeholders = [n for n in module.graph.nodes if n.op == "placeholder"]
    specs = tuple(
        TensorSpec(str(node.target), str(x.dtype).removeprefix("torch."), (BATCH, *x.shape[1:]))
        for node, x in zip(placeholders, inputs, strict=True)
    )
    return Model(module.eval(), specs)


def _graph_module(program: ExportedProgram) -> fx.GraphModule:
    try:
        source = program.module(check_guards=False)
    except (RuntimeError, SyntaxError, KeyError) as e:
        hint = "rename submodules called like attributes of torch.nn.Module or GraphModule, such as 'code' or 'graph'"
        raise ExportError(f"torch.export gives no graph module: {_first_lines(e)}; {hint}") from e
    if not isinstance(source, fx.GraphModule):
        raise ExportError(f"torch.export gave a {type(source).__name__}, not a graph")
    return source


def _checked(example_inputs: Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
    inputs = (example_inputs,) if isinstance(example_inputs, Tensor) else tuple(example_inputs)
    for i, x in enumerate(inputs):
        if not isinstance(x, Tensor):
            raise ExportError(f"example_inputs[{i}] is a {type(x).__name__}; give tensors, batch first")
        if x.ndim == 0 or x.shape[0] < 1:
            raise ExportError(f"example_inputs[{i}] has shape {tuple(x.shape)}; the first dimension is the batch")
    if not inputs:
        raise ExportError("example_inputs is empty; give one tensor an argument of forward, batch first")
    # A batch of one is specialised by torch.export; doubling it keeps the batch dynamic.
    return tuple(torch.cat([x, x]) if x.shape[0] == 1 else x for x in inputs)


def _export(net: nn.Module, inputs: tuple[Tensor, ...]) -> ExportedProgram:
    shapes = tuple({0: Dim.DYNAMIC} for _ in inputs)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.export(net, inputs, dynamic_shapes=shapes)
    except Exception as e:  # torch.export raises many unrelated types; all mean that this module does not export
        raise ExportError(f"{type(net).__name__} does not export: {_first_lines(e)}") from e


def _first_lines(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:3])[:500] or type(error).__name__


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
        tables: tuple[dict[str, Any], ...] = (owner._parameters, owner._buffers)
        for table in tables:
            table.update({name: own(tensor) for name, tensor in table.items() if tensor is not None})


def _training_only(evaluated: ExportedProgram, net: nn.Module, inputs: tuple[Tensor, ...]) -> list[str]:
    """What the train graph does and the eval graph does not: random draws (dropout is carried), other outputs."""
    try:
        trained = _export(net, inputs)
    except ExportError as e:
        return [f"in training mode {e}; what the module does only in training cannot be told from its graph"]
    notes = []
    before, after = _random_calls(evaluated), _random_calls(trained)
    for name, count in sorted((after - before).items()):
        notes.append(f"{count} random {name} call(s) of training are not carried (stochastic depth, noise)")
    outputs = [len(p.graph_signature.user_outputs) for p in (evaluated, trained)]
    if outputs[0] != outputs[1]:
        notes.append(f"training returns {outputs[1]} outputs, the graph {outputs[0]}: auxiliary heads are not carried")
    return notes


def _random_calls(program: ExportedProgram) -> Counter[str]:
    calls: Counter[str] = Counter()
    for node in program.graph.nodes:
        name = str(getattr(getattr(node.target, "overloadpacket", None), "__name__", "")).rstrip("_")
        if node.op == "call_function" and node.target not in DROPOUTS and name in RANDOM:
            calls[name] += 1
    return calls


def _checks(net: nn.Module, model: Model, inputs: tuple[Tensor, ...]) -> list[str]:
    net = copy.deepcopy(net)
    for batch in (inputs, tuple(x[:1] for x in inputs), tuple(torch.cat([x, x, x[:1]]) for x in inputs)):
        difference = output_difference(net, model.module, batch)
        if difference:
            size = batch[0].shape[0]
            raise ExportError(f"the graph of {type(net).__name__} gives another output at batch {size}: {difference}")
    notes = gradient_differences(net, model.module, inputs)
    return [*notes, *training_difference(net, model.module, inputs)]
