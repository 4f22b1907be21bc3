"""Rules of operators that sum products over some dimensions: matrix products of every kind, all written as einsum.

An `Equation` labels each dimension of each operand and of the output. Equal labels are one dimension; a label that
the output lacks is summed over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from modelpress.graph.axes.broadcast import align
from modelpress.graph.axes.call import Call, Value, argument
from modelpress.graph.axes.expr import Dims, Expr
from modelpress.graph.axes.movement import Rule
from modelpress.graph.axes.unify import unify_all

aten = torch.ops.aten
Labels = tuple[str, ...]


@dataclass(frozen=True)
class Equation:
    """The labels of each operand's dimensions and of the output's: ``(("i", "k"), ("k", "j"))`` and ``("i", "j")``."""

    operands: tuple[Labels, ...]
    output: Labels

    @property
    def summed(self) -> Labels:
        """The labels that the output lacks, each once."""
        given = dict.fromkeys(label for labels in self.operands for label in labels)
        return tuple(label for label in given if label not in self.output)


def parse(equation: str, ranks: Sequence[int]) -> Equation:
    """An einsum equation for operands of ``ranks``: labels of an ellipsis are ``...1`` for its last dimension.

    >>> parse("...ij,jk->...ik", (3, 2))
    Equation(operands=(('...1', 'i', 'j'), ('j', 'k')), output=('...1', 'i', 'k'))
    """
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    spare = [rank - len(term.replace("...", "")) for term, rank in zip(terms, ranks, strict=True)]
    widest = max((n for term, n in zip(terms, spare, strict=True) if "..." in term), default=0)
    operands = tuple(_labels(term, n) for term, n in zip(terms, spare, strict=True))
    return Equation(operands, _labels(right if arrow else _implicit(left), widest))


def _labels(term: str, ellipsis: int) -> Labels:
    before, dots, after = term.partition("...")
    return (*before, *(f"...{k}" for k in range(ellipsis if dots else 0, 0, -1)), *after)


def _implicit(left: str) -> str:
    """Without an arrow the output has the ellipsis, then the labels that occur once, in alphabetical order."""
    letters = left.replace("...", "").replace(",", "")
    return "..." * ("..." in left) + "".join(sorted(c for c in set(letters) if letters.count(c) == 1))


@dataclass(frozen=True)
class AsEinsum:
    """An operator as einsum of some of its arguments, to which ``addend`` is added where it is given."""

    operands: tuple[str, ...]
    equation: str | Callable[[Sequence[int]], str]
    addend: str = ""


def _matmul(ranks: Sequence[int]) -> str:
    left, right = ("k" if ranks[0] == 1 else "...ik"), ("k" if ranks[1] == 1 else "...kj")
    return f"{left},{right}->...{'i' * (ranks[0] > 1)}{'j' * (ranks[1] > 1)}"


def _linear(ranks: Sequence[int]) -> str:
    return "...i,oi->...o" if ranks[1] == 2 else "...i,i->..."


PRODUCTS: Mapping[Any, AsEinsum] = {
    aten.matmul.default: AsEinsum(("self", "other"), _matmul),
    aten.mm.default: AsEinsum(("self", "mat2"), "ik,kj->ij"),
    aten.bmm.default: AsEinsum(("self", "mat2"), "bik,bkj->bij"),
    aten.mv.default: AsEinsum(("self", "vec"), "ik,k->i"),
    aten.dot.default: AsEinsum(("self", "tensor"), "k,k->"),
    aten.outer.default: AsEinsum(("self", "vec2"), "i,j->ij"),
    aten.addmm.default: AsEinsum(("mat1", "mat2"), "ik,kj->ij", "self"),
    aten.baddbmm.default: AsEinsum(("batch1", "batch2"), "bik,bkj->bij", "self"),
    aten.linear.default: AsEinsum(("input", "weight"), _linear, "bias"),
    aten.bilinear.default: AsEinsum(("input1", "weight", "input2"), "...i,oij,...j->...o", "bias"),
}


@dataclass(frozen=True)
class Terms:
    """What a node that is an einsum works on: its equation, the operands' nodes, and the node that is added."""

    equation: Equation
    operands: tuple[fx.Node, ...]
    addend: fx.Node | None


def terms_of(node: fx.Node, values: Mapping[fx.Node, Value]) -> Terms:
    """Of a node whose target is einsum or one of `PRODUCTS`."""
    if node.target is aten.einsum.default:
        operands, equation, addend = tuple(argument(node, "tensors")), argument(node, "equation"), None
    else:
        product = PRODUCTS[node.target]
        operands = tuple(argument(node, name) for name in product.operands)
        equation, addend = product.equation, argument(node, product.addend) if product.addend else None
    ranks = [len(values[operand] or ()) for operand in operands]
    return Terms(parse(equation if isinstance(equation, str) else equation(ranks), ranks), operands, addend)


def contraction(call: Call) -> Value:
    """einsum: equal labels are one dimension; a label of size 1 is broadcast."""
    terms = terms_of(call.node, call.values)
    labels = _unified(call, terms)
    for label in terms.equation.summed:
        call.contract([labels[label]], *_having(call, terms, label, labels[label].size))
    dims = [labels[label] for label in terms.equation.output]
    return dims if terms.addend is None else align([dims, call.dims(terms.addend)], call.shape, call.why)


def _unified(call: Call, terms: Terms) -> dict[str, Expr]:
    """The one dimension of each label, of full size."""
    found: dict[str, Dims] = {}
    for labels, operand in zip(terms.equation.operands, terms.operands, strict=True):
        for label, dim in zip(labels, call.dims(operand), strict=True):
            found.setdefault(label, []).append(dim)
    full = {label: [dim for dim in dims if dim.size == max(d.size for d in dims)] for label, dims in found.items()}
    for dims in full.values():
        unify_all([(dims[0], other) for other in dims[1:]], call.why)
    return {label: dims[0] for label, dims in full.items()}


def _having(call: Call, terms: Terms, label: str, size: int) -> list[fx.Node]:
    """The operands that have the label in full size."""
    return [
        operand
        for labels, operand in zip(terms.equation.operands, terms.operands, strict=True)
        if any(own == label and dim.size == size for own, dim in zip(labels, call.dims(operand), strict=True))
    ]


EINSUM: Mapping[Any, Rule] = {aten.einsum.default: contraction, **dict.fromkeys(PRODUCTS, contraction)}
