"""What a module does only in training, read off its train-mode export and put into the eval-mode one.

Dropout rates, attention's dropout and stochastic depth become part of the eval graph; everything else that differs
(auxiliary heads, noise, branches on ``self.training``) is named, with the user's line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import fx

from modelpress.graph.lift.align import Alignment, flat_arguments, through
from modelpress.graph.lift.canonical import functional_form
from modelpress.graph.lift.leaves import DROPOUTS
from modelpress.graph.lift.source import bound, owner, user_line

aten = torch.ops.aten
RECURRENT = (aten.lstm.input, aten.gru.input, aten.rnn_tanh.input, aten.rnn_relu.input)
SWITCHES = ("train", "training", "momentum", "p", "dropout", "dropout_p")
"""Arguments that leaves set for themselves in training."""
COUNTER = "num_batches_tracked"
MAX_NOTES = 8


def carry_training(alignment: Alignment) -> list[str]:
    """Put into the eval graph what the train graph shows; return notes on what the format has no word for.

    Rates are written into the eval graph's own calls. What only the train graph has is inserted: dropout as
    ``aten.dropout(x, p, False)``, stochastic depth as a call of a `StochasticDepth` module.
    """
    carrier = _Carrier(alignment)
    for node, other in alignment.partner.items():
        if node.op == "call_function" and node not in alignment.wrappers:
            carrier.carry(node, other)
    carrier.carry_outputs()
    alignment.evaluated.graph.lint()
    return [*carrier.notes, *_left_over(carrier)]


class _Carrier:
    """Changes the eval graph; ``made`` is what wrappers of the train graph became there."""

    def __init__(self, alignment: Alignment) -> None:
        self.alignment = alignment
        self.made: dict[fx.Node, fx.Node] = {}
        self.notes: list[str] = []

    def carry(self, node: fx.Node, other: fx.Node) -> None:
        """Carry what differs between a call in training and the same in evaluation."""
        ours = _by_name(node)
        names = list(_by_name(other))
        other.args = tuple(
            self._carried(node, name, ours.get(name), value) for name, value in zip(names, other.args, strict=False)
        )
        other.kwargs = {name: self._carried(node, name, ours.get(name), v) for name, v in other.kwargs.items()}
        _write_rate(node, other)
        if node.target is aten.batch_norm.default and not ours["training"] and ours["running_mean"] is not None:
            self.notes.append(f"batch norm '{owner(node)[0]}' keeps its statistics in training; the graph's moves them")

    def _carried(self, node: fx.Node, name: str, ours: Any, theirs: Any) -> Any:
        """What the eval call is to get for the argument that is ``ours`` in training and ``theirs`` in evaluation."""
        if isinstance(theirs, list | tuple):
            if isinstance(ours, list | tuple) and len(ours) == len(theirs):
                return [self._carried(node, name, a, b) for a, b in zip(ours, theirs, strict=True)]
        elif isinstance(theirs, fx.Node):
            return self._replaced(theirs, ours) if through(ours) in self.alignment.wrappers else theirs
        elif name in SWITCHES or isinstance(ours, fx.Node) or ours == theirs:
            return theirs
        self.notes.append(
            f"'{name}' of {node.target} is {ours!r} in training, {theirs!r} in the graph{user_line(node)}"
        )
        return theirs

    def _replaced(self, theirs: fx.Node, ours: fx.Node) -> fx.Node:
        """The wrapper ``ours`` in place of ``theirs``, with the copies that are made there."""
        if through(theirs) is theirs:
            return self.inserted(through(ours))
        inner = self._replaced(theirs.args[0], ours)  # type: ignore[arg-type]
        with self.alignment.evaluated.graph.inserting_after(inner):
            return self.alignment.evaluated.graph.node_copy(theirs, lambda n: inner if n is theirs.args[0] else n)

    def carry_outputs(self) -> None:
        """Outputs may be wrapped too; auxiliary heads return more."""
        ours, theirs = (_output(g) for g in (self.alignment.trained, self.alignment.evaluated))
        mine, wanted = flat_arguments(ours), flat_arguments(theirs)
        if len(mine) != len(wanted):
            self.notes.append(
                f"training returns {len(mine)} outputs, the graph {len(wanted)}: auxiliary heads are not carried"
            )
        wrapped = {self.alignment.partner.get(v): v for v in mine if v in self.alignment.wrappers}
        theirs.args = ([self.inserted(wrapped[v]) if v in wrapped else v for v in wanted],)

    def inserted(self, wrapper: fx.Node) -> fx.Node:
        """The eval graph's node for a wrapper of the train graph; it and those that it wraps are inserted once."""
        found = self.alignment.wrappers.get(wrapper)
        if found is None:
            return self.alignment.partner[wrapper]
        if wrapper not in self.made:
            base = self.inserted(through(found.base))
            self.made[wrapper] = found.insert(self.alignment.evaluated, base, self.alignment.anchors[wrapper])
            self._move_anchors(wrapper)
        return self.made[wrapper]

    def _move_anchors(self, wrapper: fx.Node) -> None:
        """What comes after ``wrapper`` in the train graph is inserted after it: random numbers are drawn in order."""
        anchor, passed = self.alignment.anchors[wrapper], False
        for node, other in self.alignment.anchors.items():
            passed = passed or node is wrapper
            if passed and other is anchor:
                self.alignment.anchors[node] = self.made[wrapper]


def _by_name(node: fx.Node) -> Mapping[str, Any]:
    if hasattr(node.target, "_schema"):
        return bound(node)
    return {str(i): value for i, value in enumerate(node.args)} | dict(node.kwargs)


def _output(module: fx.GraphModule) -> fx.Node:
    return module.graph.output_node()


def _write_rate(node: fx.Node, other: fx.Node) -> None:
    """Write the train graph's rate into the eval graph's call; where training does not drop, it is 0."""
    if node.target in DROPOUTS:
        other.update_arg(1, node.args[1] if node.args[2] else 0.0)
    elif node.target is aten.scaled_dot_product_attention.default:
        _set(other, "dropout_p", bound(node)["dropout_p"])
    elif node.target in RECURRENT:
        _set(other, "dropout", bound(node)["dropout"] if bound(node)["train"] else 0.0)


def _set(node: fx.Node, name: str, value: Any) -> None:
    place = list(bound(node)).index(name)
    if place < len(node.args):
        node.update_arg(place, value)
    elif value != bound(node)[name]:
        node.update_kwarg(name, value)


# --- what is left


def _left_over(carrier: _Carrier) -> Iterator[str]:
    """Notes on the calls of either graph that the other lacks, one a module or line of code."""
    alignment = carrier.alignment
    carried = {n for wrapper in carrier.made for n in alignment.wrappers[wrapper].nodes()}
    shared = {path for node in alignment.partner if node not in alignment.wrappers for path in _modules(node)}
    lost = [n for n in alignment.train_only if n not in carried and not _counts_batches(n)]
    yield from _named(lost, shared, "runs only in training; the graph does not carry it")
    yield from _named(alignment.eval_only, shared, "runs only in evaluation; the graph runs it in training too")


def _counts_batches(node: fx.Node) -> bool:
    changed = node.args[0] if node.args else None
    return isinstance(changed, fx.Node) and changed.op == "get_attr" and str(changed.target).endswith(COUNTER)


def _named(nodes: list[fx.Node], shared: set[str], what: str) -> Iterator[str]:
    """One note for each module that has no ``shared`` call, and for each line of code elsewhere; at most a few."""
    places = Counter(_whence(node, shared) for node in nodes)
    for place in list(places)[:MAX_NOTES]:
        yield f"{place} {what}"
    if len(places) > MAX_NOTES:
        yield f"code at {len(places) - MAX_NOTES} more places {what}"


def _whence(node: fx.Node, shared: set[str]) -> str:
    module = next((path for path in _modules(node) if path not in shared), None)
    return f"module '{module}'" if module else f"{functional_form(node.target)}{user_line(node)}"


def _modules(node: fx.Node) -> list[str]:
    """Paths of the modules that a call was made in, outermost first, the root left out."""
    return [str(path) for path, _ in (node.meta.get("nn_module_stack") or {}).values() if path]
