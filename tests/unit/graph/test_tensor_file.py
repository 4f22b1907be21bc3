"""The file of tensors is the library's, byte for byte."""

from __future__ import annotations

import pytest
import safetensors.torch
import torch

from modelpress.graph.tensor_file import DTYPE_WORDS, write


def test_every_dtype_lies_where_the_library_puts_it() -> None:
    generator = torch.Generator().manual_seed(0)
    tensors = {
        f"{letter}.{str(dtype).removeprefix('torch.')}": torch.randint(0, 2, (3, 5), generator=generator).to(dtype)
        for letter in "bac"
        for dtype in DTYPE_WORDS
    }
    assert write(tensors) == safetensors.torch.save(tensors)


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (1,), (2, 3, 4)])
def test_every_shape_does(shape: tuple[int, ...]) -> None:
    tensors = {"weight": torch.ones(shape), "count": torch.tensor(3)}
    assert write(tensors) == safetensors.torch.save(tensors)


def test_no_tensors_make_a_file() -> None:
    assert safetensors.torch.load(write({})) == {}
