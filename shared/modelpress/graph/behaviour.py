"""Leaves of our own for what behaves differently in training: attention with dropout, stochastic depth."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Attention(nn.Module):
    """Scaled dot-product attention; drops attention weights in training.

    ``query`` [..., heads, n, d], ``key`` [..., heads, m, d], ``value`` [..., heads, m, e], ``mask`` None or
    broadcastable to [..., heads, n, m] (bool, True = attend; or float, added). Returns [..., heads, n, e].
    ``scale`` is always explicit: the implicit 1 / sqrt(d) would change when head channels are removed.
    With ``grouped``, keys and values may have fewer heads, each shared by a run of query heads.
    """

    def __init__(self, scale: float, p: float = 0.0, causal: bool = False, grouped: bool = False) -> None:
        super().__init__()
        self.scale, self.p, self.causal, self.grouped = scale, p, causal, grouped

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        return functional.scaled_dot_product_attention(
            query, key, value, mask, self.p if self.training else 0.0, self.causal, scale=self.scale,
            enable_gqa=self.grouped,
        )  # fmt: skip

    def extra_repr(self) -> str:
        return f"scale={self.scale:.6g}, p={self.p}, causal={self.causal}, grouped={self.grouped}"


class StochasticDepth(nn.Module):
    """Drops a residual branch in training: each sample's with probability ``p``, or the whole batch's (``by_batch``).

    What survives is divided by ``1 - p`` where ``rescale`` is on. Any shape [batch, ...] in, the same out.
    Paper: Huang et al., "Deep Networks with Stochastic Depth", 2016, arXiv:1603.09382.
    """

    def __init__(self, p: float, by_batch: bool = False, rescale: bool = True) -> None:
        super().__init__()
        self.p, self.by_batch, self.rescale = p, by_batch, rescale

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0.0:
            return x
        shape = [1 if self.by_batch else x.shape[0]] + [1] * (x.ndim - 1)
        survives = torch.empty(shape, dtype=x.dtype, device=x.device).bernoulli_(1.0 - self.p)
        if self.rescale and self.p < 1.0:
            survives = survives / (1.0 - self.p)
        return x * survives

    def extra_repr(self) -> str:
        return f"p={self.p}, by_batch={self.by_batch}, rescale={self.rescale}"
