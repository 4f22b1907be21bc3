"""No-grad and autocast regions are inlined; what a graph cannot hold is refused with its reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from modelpress.errors import ExportError
from modelpress.graph.lift.regions import LOWERED, RAISED
from tests.unit.graph.lift.lifting import assert_same, kinds, lifted

aten = torch.ops.aten


class _Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.conv = nn.Linear(4, 4), nn.Linear(4, 4), nn.Conv1d(4, 4, 1)


class NoGrad(_Net):
    """A region without gradients, one with them inside it, and layers that are used within and outside."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        with torch.no_grad():
            y = self.a(x).relu_()
            with torch.enable_grad():
                z = self.b(y)
            w = z * 2
        return y, z, w, self.a(w)


def test_gradients_stop_where_the_module_stops_them() -> None:
    assert set(kinds(assert_same(NoGrad(), torch.randn(3, 4)))) == {"a", "b"}


class ChangesOutside(_Net):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.a(x)
        with torch.no_grad():
            y.mul_(2)
        return y


def test_a_change_from_within_no_grad_is_refused() -> None:
    with pytest.raises(ExportError, match=r"aten\.mul_\.Tensor changes, under no_grad, a tensor from outside.*detach"):
        lifted(ChangesOutside(), torch.randn(3, 4))


class Autocast(_Net):
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        with torch.autocast("cpu", enabled=False):
            x = x.float() * 2
        with torch.autocast("cuda", dtype=torch.float16):
            x = x * 3
        with torch.autocast("cpu", dtype=torch.bfloat16):
            lower = self.a(x)
            mapped = self.conv((lower + 1)[:, :, None])[:, :, 0]
            both = torch.cat([lower, x])
            attended = functional.scaled_dot_product_attention(x[None], x[None], x[None])
            product = lower.prod()
        return mapped.softmax(-1), both, attended, product


@pytest.mark.filterwarnings("ignore:CUDA is not available or torch_xla is imported")
def test_autocast_is_written_out() -> None:
    assert_same(Autocast(), torch.randn(3, 4))


class RecurrentUnderAutocast(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.GRU(4, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y: Tensor = self.layer(x)[0]
        return y


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(ExportError, match=r"what autocast does to aten\.gru\.input on a CPU is not known"):
        lifted(RecurrentUnderAutocast(), torch.randn(3, 5, 4))


_CUBE, _IMAGE, _ROWS, _MATRIX = torch.rand(1, 4, 6, 6, 6), torch.rand(1, 4, 6, 6), torch.rand(1, 4, 6), torch.rand(4, 4)
POLICY: dict[object, tuple[object, ...]] = {
    aten.conv1d.default: (_ROWS, torch.rand(4, 4, 1)),
    aten.conv2d.default: (_IMAGE, torch.rand(4, 4, 1, 1)),
    aten.conv3d.default: (_CUBE, torch.rand(4, 4, 1, 1, 1)),
    aten.conv1d.padding: (_ROWS, torch.rand(4, 4, 1)),
    aten.conv2d.padding: (_IMAGE, torch.rand(4, 4, 1, 1)),
    aten.conv3d.padding: (_CUBE, torch.rand(4, 4, 1, 1, 1)),
    aten.conv_transpose1d.default: (_ROWS, torch.rand(4, 4, 1)),
    aten.conv_transpose2d.input: (_IMAGE, torch.rand(4, 4, 1, 1)),
    aten.conv_transpose3d.input: (_CUBE, torch.rand(4, 4, 1, 1, 1)),
    aten.linear.default: (_MATRIX, _MATRIX),
    aten.matmul.default: (_MATRIX, _MATRIX),
    aten.mm.default: (_MATRIX, _MATRIX),
    aten.bmm.default: (_ROWS, _ROWS.mT),
    aten.addmm.default: (_MATRIX, _MATRIX, _MATRIX),
    aten.baddbmm.default: (_MATRIX[None], _MATRIX[None], _MATRIX[None]),
    aten.einsum.default: ("ij,jk->ik", [_MATRIX, _MATRIX]),
    aten.prelu.default: (_IMAGE, torch.rand(4)),
    aten.scaled_dot_product_attention.default: (_IMAGE, _IMAGE, _IMAGE),
    aten.adaptive_avg_pool3d.default: (_CUBE, [2, 2, 2]),
    aten.avg_pool3d.default: (_CUBE, [2, 2, 2]),
    aten.cdist.default: (_MATRIX, _MATRIX),
    aten.grid_sampler.default: (_IMAGE, torch.zeros(1, 2, 2, 2), 0, 0, False),
    aten.max_pool3d.default: (_CUBE, [2, 2, 2]),
    aten.pad.default: (_IMAGE, [1, 1, 1, 1], "reflect"),
    aten.prod.default: (_MATRIX,),
    aten.prod.dim_int: (_MATRIX, 1),
}


def _result_dtype(target: Callable[..., Tensor], arguments: tuple[object, ...], dtype: torch.dtype) -> torch.dtype:
    def cast(value: object) -> object:
        if isinstance(value, list):
            return [cast(v) for v in value]
        return value.to(dtype) if isinstance(value, Tensor) else value

    with torch.autocast("cpu", dtype=torch.bfloat16):
        return target(*(cast(a) for a in arguments)).dtype


@pytest.mark.parametrize("target", sorted([*LOWERED, *RAISED], key=str), ids=str)
def test_the_table_is_what_torch_does(target: Callable[..., Tensor]) -> None:
    found = {_result_dtype(target, POLICY[target], d) for d in (torch.float32, torch.bfloat16)}
    assert found == {torch.bfloat16 if target in LOWERED else torch.float32}


class Branches(_Net):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = torch.cond(x.sum() > 0, lambda t: self.a(t), lambda t: self.b(t), (x,))
        return y


class Noise(_Net):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.a(x)
        return y + torch.randn_like(x)


class DataSized(_Net):
    def forward(self, x: Tensor) -> Tensor:
        return torch.nonzero(self.a(x))


class Selects(_Net):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.a(x)
        return y[y > 0].sum()


class Maps(_Net):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = torch.vmap(self.a)(x)
        return y


class OutOfFormat(_Net):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = torch.fft.fft(self.a(x)).real
        return y


@pytest.mark.parametrize(
    ("net", "told"),
    [
        (Branches(), r"cond branches on data.*torch\.where"),
        (Noise(), r"aten\.randn_like\.default draws random numbers in evaluation.*test_regions\.py.*randn_like"),
        (DataSized(), r"aten\.nonzero\.default makes sizes or numbers out of data.*nonzero.*mask"),
        (Selects(), r"aten\.index\.Tensor makes sizes or numbers out of data, called at test_regions\.py.*y > 0"),
        (Maps(), r"the operator _\w+ is a part of torch\.vmap"),
        (OutOfFormat(), r"aten\.fft_fft\.default is not in the format yet.*test_regions\.py.*torch\.fft"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_what_is_refused_says_why_where_and_what_instead(net: nn.Module, told: str) -> None:
    with pytest.raises(ExportError, match=told):
        lifted(net, torch.randn(3, 4))


@pytest.fixture
def custom_operator() -> Iterator[Callable[[Tensor], Tensor]]:
    with torch.library._scoped_library("lift_test", "FRAGMENT") as library:
        library.define("twice(Tensor x) -> Tensor")
        library.impl("twice", lambda x: x * 2, "CompositeExplicitAutograd")
        yield torch.ops.lift_test.twice


def test_a_custom_operator_is_refused(custom_operator: Callable[[Tensor], Tensor]) -> None:
    class Custom(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return custom_operator(x)

    with pytest.raises(ExportError, match=r"lift_test\.twice\.default is a custom one.*torch's own operators"):
        lifted(Custom(), torch.randn(3, 4))


class Identity(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


def test_a_module_without_layers_lifts() -> None:
    assert_same(Identity(), torch.randn(3, 4))
