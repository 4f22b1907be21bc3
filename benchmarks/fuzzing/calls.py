"""Calls of the format's operators with arguments of the right types and any values: what reaches torch's own code."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from modelpress.graph.arguments import DTYPES
from modelpress.graph.operators import PLAIN, WORDS, targets

INTEGERS = (
    0, 1, 1, 1, 2, 2, 3, 4, 7, -1, -2, 64, 4095, 65_536, 2**31 - 1, 2**31, 2**40, 2**62, 2**63 - 1, -(2**31), -(2**62),
)  # fmt: skip
FLOATS = (0.0, 0.5, 1.0, 2.0, -1.0, 1e-12, 1e300, {"float": "inf"}, {"float": "nan"})


def call(random: Random, nodes: int) -> dict[str, Any]:
    """A node of op ``call``, after ``nodes`` others."""
    name = random.choice(list(targets()))
    if name in PLAIN:
        return _node(name, [_plain(letter, random, nodes) for letter in PLAIN[name].arguments], {})
    args, kwargs = [], {}
    for argument in targets()[name]._schema.arguments:  # type: ignore[attr-defined]
        if argument.has_default_value() and random.random() < 0.5:
            break
        value = _value(argument.name, argument.real_type, random, nodes)
        if argument.kwarg_only:
            kwargs[argument.name] = value
        else:
            args.append(value)
    return _node(name, args, kwargs)


def _node(target: str, args: list[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    return {"op": "call", "target": target, "args": args, "kwargs": kwargs}


def _ref(random: Random, nodes: int) -> dict[str, int]:
    """Late nodes more often: the calls that were made before this one."""
    return {"node": max(0, nodes - 1 - int(random.expovariate(0.5)))}


def _plain(letter: str, random: Random, nodes: int) -> Any:
    choices = {"t": [_ref(random, nodes)], "i": INTEGERS, "d": [None, {"dtype": "int64"}]}
    return random.choice(choices.get(letter, [_ref(random, nodes), random.choice(INTEGERS)]))


def _value(name: str, kind: Any, random: Random, nodes: int) -> Any:
    if kind.kind() == "OptionalType":
        return None if random.random() < 0.4 else _value(name, kind.getElementType(), random, nodes)
    if kind.kind() == "ListType":
        return [_value(name, kind.getElementType(), random, nodes) for _ in range(random.choice((0, 1, 2, 2, 3, 4)))]
    makers: dict[str, Callable[[], Any]] = {
        "TensorType": lambda: _ref(random, nodes),
        "FloatType": lambda: random.choice(FLOATS),
        "NumberType": lambda: random.choice((*FLOATS, *INTEGERS, True)),
        "BoolType": lambda: random.random() < 0.5,
        "StringType": lambda: random.choice(WORDS.get(name, ("ij,jk->ik", "ab,ab->a", "i,j->ij", "...a->..."))),
        "ScalarTypeType": lambda: {"dtype": random.choice(list(DTYPES))},
        "MemoryFormatType": lambda: {"memory_format": "channels_last"},
    }
    return makers.get(kind.kind(), lambda: random.choice(INTEGERS))()
