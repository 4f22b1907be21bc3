"""Candidates are packages that were really built, or named with the reason."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from torch import nn

from modelpress.catalogue import Catalogue, load_catalogue
from modelpress.errors import InputError, NotFoundError
from modelpress.graph.axes import analyse
from modelpress.graph.export import export
from modelpress.graph.model import Model
from modelpress.graph.packages.session import Session
from modelpress.xray.candidates import DENSE, WAYS, Built, Way, Workshop, attempt
from modelpress.xray.kernels import float_layers, kernel_times_us
from tests.unit.xray.nets import conv_net

INT8 = Way(Fraction(1), True)
HALF = Way(Fraction(1, 2), False)


def workshop(model: Model, catalogue: Catalogue | None = None) -> Workshop:
    return Workshop(model, analyse(model), catalogue or load_catalogue())


@pytest.fixture(scope="module")
def built() -> dict[Way, Built]:
    shop = workshop(conv_net())
    return {way: shop.build(way) for way in (DENSE, INT8, HALF)}


def test_what_is_tried() -> None:
    assert [way.name for way in WAYS] == [
        "dense", "int8", "width 1/2", "width 1/2, int8", "width 1/4", "width 1/4, int8", "width 3/4", "width 3/4, int8",
    ]  # fmt: skip


def test_packages_run_and_are_as_large_as_what_they_are(built: dict[Way, Built]) -> None:
    outputs = {way: Session(b.package, 1).predict(Session(b.package, 1).examples(5)[0]) for way, b in built.items()}
    assert {output.shape for output in outputs.values()} == {(5, 4)}
    dense, int8, half = built[DENSE], built[INT8], built[HALF]
    assert int8.package.size_bytes < dense.package.size_bytes
    assert int8.macs == dense.macs
    assert half.macs < 0.4 * dense.macs
    assert half.parameters < 0.4 * dense.parameters


def test_what_has_no_integer_kernel_is_named(built: dict[Way, Built]) -> None:
    assert float_layers(built[INT8]) == ("up",)
    assert float_layers(built[DENSE]) == ("body.0", "body.3", "up", "head")


def test_times_come_back_to_the_layers(built: dict[Way, Built]) -> None:
    times = kernel_times_us({"dense": built[DENSE], "int8": built[INT8]}, batch=1, threads=1, calls=3)
    dense, int8 = ({kernel.origin: kernel for kernel in side} for side in times.values())
    assert {"body.0", "body.3", "up", "head"} <= set(dense) & set(int8)
    assert int8["body.3"].operator == "QLinearConv"
    assert all(us >= 0 for side in times.values() for us in side.values())


def test_a_width_that_another_has_is_not_built_twice() -> None:
    shop = workshop(export(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), torch.randn(2, 4), check=False))
    shop.build(DENSE)
    with pytest.raises(NotFoundError, match="those of 'dense'"):
        shop.build(HALF)


def test_no_axis_leaves_int8_alone() -> None:
    shop = workshop(export(nn.Linear(4, 2), torch.randn(2, 4), check=False))
    assert shop.build(DENSE)
    assert shop.build(INT8)
    with pytest.raises(NotFoundError, match="every axis is frozen"):
        shop.build(HALF)


def test_what_cannot_be_built_tells_why() -> None:
    shop = workshop(conv_net(), Catalogue(()))
    assert "unknown method 'quantizer/untrained-int8'" in str(attempt(lambda: shop.build(INT8)))

    def broken() -> Built:
        raise RuntimeError("out of luck")

    assert attempt(broken) == "RuntimeError: out of luck"


def test_a_model_that_cannot_be_quantized_tells_why() -> None:
    shop = workshop(export(nn.ConvTranspose2d(3, 4, 2), torch.randn(2, 3, 4, 4), check=False))
    with pytest.raises(InputError, match="no convolution or linear layer"):
        shop.build(INT8)
