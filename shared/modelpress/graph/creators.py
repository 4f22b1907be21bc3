"""Tensors that a graph makes from nothing, always on the device of a tensor that it has."""

from __future__ import annotations

import torch
from torch import Tensor


def arange(like: Tensor, start: int | float, end: int | float, step: int | float, dtype: torch.dtype | None) -> Tensor:
    """``torch.arange`` on the device of ``like``, in its dtype where none is given.

    aten has no operator for it: ``aten.arange`` names its device, so a graph exported on one fails on another.
    """
    return torch.arange(start, end, step, dtype=dtype or like.dtype, device=like.device)


def linspace(like: Tensor, start: float, end: float, steps: int, dtype: torch.dtype | None) -> Tensor:
    """``torch.linspace`` on the device of ``like``, in its dtype where none is given."""
    return torch.linspace(start, end, steps, dtype=dtype or like.dtype, device=like.device)


def eye(like: Tensor, rows: int, columns: int, dtype: torch.dtype | None) -> Tensor:
    """``torch.eye`` on the device of ``like``, in its dtype where none is given."""
    return torch.eye(rows, columns, dtype=dtype or like.dtype, device=like.device)
