"""Example inputs said in words, as ``--input`` takes them: ``1,28,28`` or ``tokens=length:int64``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modelpress.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

Dynamic = Mapping[str, Mapping[int, str]]
EXAMPLE_BATCH, EXAMPLE_LENGTH = 2, 16
DTYPES = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "bool")
WORDS = re.compile(r"(?:(?P<name>[A-Za-z_]\w*)=)?(?P<shape>[\w,]*)(?::(?P<dtype>\w+))?", re.ASCII)
SYMBOL = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Sample:
    """One sample of an input: ``shape`` without the batch, a word in it where a dimension is dynamic."""

    name: str
    shape: tuple[int | str, ...]
    dtype: str = "float32"

    def example(self) -> Tensor:
        """A random batch: normal for floats, zeros and ones for integers."""
        import torch

        generator = torch.Generator().manual_seed(0)
        shape = (EXAMPLE_BATCH, *(n if isinstance(n, int) else EXAMPLE_LENGTH for n in self.shape))
        dtype: torch.dtype = getattr(torch, self.dtype)
        if dtype.is_floating_point:
            return torch.randn(shape, generator=generator).to(dtype)
        return torch.randint(0, 2, shape, generator=generator).to(dtype)

    def symbols(self) -> dict[int, str]:
        """Symbol of each dynamic dimension of a batch."""
        return {0: "batch", **{d: n for d, n in enumerate(self.shape, start=1) if isinstance(n, str)}}


def parse_sample(text: str) -> Sample:
    """``"1,28,28"``, ``"tokens=128:int64"`` or ``"tokens=length:int64"`` as a sample; ``1x28x28`` is as good.

    Raises:
        InputError: it is none.
    """
    match = WORDS.fullmatch(text)
    parts = re.split(r",|(?<=\d)x(?=\d)", match["shape"]) if match else [""]
    sound = all((p.isdecimal() and int(p) > 0) or SYMBOL.fullmatch(p) for p in parts)
    if match is None or not sound or (match["dtype"] or "float32") not in DTYPES:
        raise InputError(
            f"--input {text}: expected [NAME=]SHAPE[:DTYPE], the shape of one sample without the batch, as in 1,28,28 "
            f"or tokens=length:int64 (a word is a dimension whose size may change); dtypes are {', '.join(DTYPES)}"
        )
    shape = tuple(int(p) if p.isdecimal() else p for p in parts)
    return Sample(match["name"] or "", shape, match["dtype"] or "float32")


def examples_of(samples: Sequence[Sample]) -> tuple[Any, Dynamic | None]:
    """Example inputs for `modelpress.graph.export.export`, by keyword where they have names, and what is dynamic.

    Raises:
        InputError: some have names and others none, two have the same, or a dynamic dimension is in one without.
    """
    named = [s.name for s in samples if s.name]
    if named and len(set(named)) < len(samples):
        raise InputError("--input: several inputs need a name each, as in --input tokens=128:int64 --input mask=128")
    is_dynamic = any(len(s.symbols()) > 1 for s in samples)
    if is_dynamic and not named:
        raise InputError("--input: an input with a dynamic dimension needs its name, as in tokens=length:int64")
    dynamic = {s.name: s.symbols() for s in samples} if is_dynamic else None
    return ({s.name: s.example() for s in samples} if named else tuple(s.example() for s in samples)), dynamic
