"""Attention as the products and the softmax that it stands for.

Exporters differ on queries that may attend to nothing: torch gives zeros for them, and so does this.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from modelpress.graph.behaviour import Attention


class ExplicitAttention(nn.Module):
    """`modelpress.graph.behaviour.Attention` in evaluation; takes and gives the same."""

    def __init__(self, leaf: Attention) -> None:
        super().__init__()
        self.scale, self.causal, self.grouped = leaf.scale, leaf.causal, leaf.grouped

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        if self.grouped:
            shared = query.shape[-3] // key.shape[-3]
            key, value = key.repeat_interleave(shared, -3), value.repeat_interleave(shared, -3)
        scores = (query * self.scale) @ key.transpose(-2, -1)
        if self.causal:
            mask = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device).tril()
        if mask is None:
            return scores.softmax(-1) @ value
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype is torch.bool else scores + mask
        attends = scores.amax(-1, keepdim=True) > -math.inf
        return torch.where(attends, scores.softmax(-1) @ value, 0.0)
