"""Example inputs in words."""

from __future__ import annotations

import pytest
import torch

from modelpress.client.samples import Sample, examples_of, parse_sample
from modelpress.errors import InputError


def test_shapes_names_and_dtypes() -> None:
    assert parse_sample("1,28,28") == parse_sample("1x28x28") == Sample("", (1, 28, 28))
    assert parse_sample("tokens=128:int64") == Sample("tokens", (128,), "int64")
    assert parse_sample("tokens=length,8") == Sample("tokens", ("length", 8))


@pytest.mark.parametrize("text", ["", "1,,2", "A", "1,0", "-1", "1.5", "a=", "2:int", "1-2=3", "3:"])
def test_what_is_no_sample(text: str) -> None:
    with pytest.raises(InputError, match="1,28,28"):
        parse_sample(text)


def test_one_input_goes_by_position() -> None:
    examples, dynamic = examples_of([parse_sample("1,4,4")])
    assert [x.shape for x in examples] == [(2, 1, 4, 4)]
    assert dynamic is None


def test_several_go_by_keyword() -> None:
    examples, dynamic = examples_of([parse_sample("tokens=length:int64"), parse_sample("mask=length:bool")])
    assert {name: (x.dtype, len(x.shape)) for name, x in examples.items()} == {
        "tokens": (torch.int64, 2),
        "mask": (torch.bool, 2),
    }
    assert dynamic == {"tokens": {0: "batch", 1: "length"}, "mask": {0: "batch", 1: "length"}}


@pytest.mark.parametrize("texts", [["a=3", "4"], ["a=3", "a=4"], ["length"]])
def test_inputs_that_need_names(texts: list[str]) -> None:
    with pytest.raises(InputError, match="name"):
        examples_of([parse_sample(text) for text in texts])
