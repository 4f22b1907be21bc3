"""Random streams that depend on what they are for, and on nothing that ran before."""

from __future__ import annotations

import hashlib

import torch


def stream(seed: int, *purpose: int | str) -> torch.Generator:
    """A generator of its own for ``purpose``, for example ``stream(seed, "validation")``.

    The parts are hashed, so that neighbouring seeds and epochs give unrelated streams.
    """
    text = "/".join(str(part) for part in (seed, *purpose))
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
    return torch.Generator().manual_seed(number)
