"""What a module returns, as plain containers: the format knows lists, tuples and dicts, and no class of the user's."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor, fx

from modelpress.errors import ExportError

Leaf = fx.Node | Tensor | bool | int | float | str | None


@dataclasses.dataclass(frozen=True)
class Plain:
    """An output in plain containers, and a note for each class that they replace."""

    value: Any
    notes: tuple[str, ...]

    def leaves(self) -> dict[str, Leaf]:
        """Tensors and constants by the way to them (``boxes``, ``0_h``); ``""`` for a lone one."""
        return dict(_leaves(self.value, ""))

    def tensors(self) -> dict[str, Tensor]:
        return {path: leaf for path, leaf in self.leaves().items() if isinstance(leaf, Tensor)}


def plain(value: Any) -> Plain:
    """A module's output, or a graph's nodes in its shape, in plain containers.

    Mappings (the ``ModelOutput`` of ``transformers``) and dataclasses become dicts by field, without the fields of
    dataclasses that are None; named tuples and other sequences become tuples. Numbers, text and None stay where they
    are; a size that depends on an input is a node.

    Raises:
        ExportError: another container, keys that are no text, or a constant of another type.
    """
    notes: dict[str, None] = {}
    return Plain(_plain(value, "the output", notes), tuple(notes))


def _plain(value: Any, where: str, notes: dict[str, None]) -> Any:
    if isinstance(value, Leaf):
        return value
    fields = _fields(value)
    if fields is not None:
        if type(value) is not dict:
            notes[f"the graph returns a dict where the module returns a {type(value).__name__}"] = None
        return {key: _plain(v, f"{where}['{key}']", notes) for key, v in fields.items()}
    if isinstance(value, Sequence):
        if type(value) not in (list, tuple):
            notes[f"the graph returns a tuple where the module returns a {type(value).__name__}"] = None
        parts = [_plain(v, f"{where}[{i}]", notes) for i, v in enumerate(value)]
        return parts if type(value) is list else tuple(parts)
    raise ExportError(
        f"{where} is a {type(value).__name__}; a model returns tensors, numbers, text or None in lists, tuples, dicts "
        "or dataclasses"
    )


def _fields(value: Any) -> dict[str, Any] | None:
    """A mapping's or dataclass's values by name, None for anything else."""
    if isinstance(value, Mapping):
        odd = [key for key in value if not isinstance(key, str)]
        if odd:
            raise ExportError(f"an output's keys must be text, not {odd[:3]}")
        return dict(value)
    if dataclasses.is_dataclass(value):
        named = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
        return {name: v for name, v in named if v is not None}  # an export knows no others
    return None


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Leaf]]:
    if isinstance(value, dict | list | tuple):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(part, f"{path}_{key}" if path else str(key))
    else:
        yield path, value
