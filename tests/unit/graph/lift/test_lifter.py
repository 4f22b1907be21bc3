"""What lifting does with unusual modules: ties, shared layers, in-place operators, reserved names, what it refuses."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from modelpress.errors import ExportError
from modelpress.graph.export import export
from modelpress.graph.model import Model
from modelpress.graph.serialise import load, save


def again(model: Model) -> Model:
    files = save(model)
    return load(files.graph_json, files.tensors)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Linear(6, 6, bias=False)
        self.decode = nn.Linear(6, 6, bias=False)
        self.decode.weight = self.encode.weight

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.decode(functional.relu(self.encode(x)))
        return y


class CalledTwice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(self.layer(x).relu_())
        return y


class Loose(nn.Module):
    """Weights that belong to no layer, and names that a graph must not hold."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(4, 3))
        self.scale = nn.Parameter(torch.ones(4))
        self.shift = nn.Buffer(torch.randn(4))
        self.add_module("mix-2", nn.Linear(4, 4))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.get_submodule("mix-2")(functional.linear(x, self.kernel) * self.scale + self.shift)
        return y


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 2), nn.Linear(6, 3)

    def forward(self, x: Tensor, z: Tensor) -> dict[str, Tensor | tuple[Tensor, Tensor]]:
        return {"a": self.a(x), "pair": (self.b(z), self.a(z))}


@pytest.mark.parametrize("net", [Tied(), CalledTwice()], ids=["tied", "called-twice"])
def test_one_weight_stays_one_weight(net: nn.Module) -> None:
    loaded = again(export(net, torch.randn(3, 6)))
    assert sum(p.numel() for p in loaded.module.parameters()) == sum(p.numel() for p in net.parameters())
    x = torch.randn(2, 6)
    assert torch.equal(loaded.module(x), net(x))


def test_loose_tensors_and_reserved_names() -> None:
    net = Loose()
    loaded = again(export(net, torch.randn(3, 3)))
    x = torch.randn(5, 3)
    assert torch.equal(loaded.module(x), net(x))
    assert {n for n, _ in loaded.module.named_parameters()} == {
        "kernel.weight",
        "scale",
        "mix_2_.weight",
        "mix_2_.bias",
    }


def test_several_inputs_and_nested_outputs() -> None:
    net = Nested()
    loaded = again(export(net, (torch.randn(3, 6), torch.randn(3, 6))))
    x, z = torch.randn(2, 6), torch.randn(2, 6)
    ours, theirs = loaded.module(x, z), net(x, z)
    assert ours.keys() == theirs.keys()
    assert isinstance(ours["pair"], tuple)
    assert torch.equal(ours["pair"][1], theirs["pair"][1])


class AddsInPlace(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x)
        z = y * 2
        y += z
        total: Tensor = y + z
        return total


def test_in_place_operators_become_pure() -> None:
    net = AddsInPlace()
    model = export(net, torch.randn(3, 6))
    x = torch.randn(4, 6)
    assert torch.equal(model.module(x), net(x))
    assert not any("_." in str(n.target) for n in model.module.graph.nodes if n.op == "call_function")


class Unsupported(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = torch.fft.fft(x).real
        return y


def test_an_unknown_operator_names_itself_and_the_line() -> None:
    with pytest.raises(ExportError, match=r"aten\.fft_fft\.default .*test_lifter\.py.*torch\.fft\.fft\(x\)"):
        export(Unsupported(), torch.randn(3, 6))


def test_the_line_is_the_users_and_not_one_of_torch() -> None:
    class Renorms(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(5, 4, max_norm=1.0)

        def forward(self, tokens: Tensor) -> Tensor:
            y: Tensor = self.words(tokens)
            return y

    with pytest.raises(ExportError, match=r"called at test_lifter\.py:\d+: y: Tensor = self\.words"):
        export(Renorms(), torch.tensor([[1, 4], [2, 3]]))


class Branches(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


def test_a_module_that_does_not_export_says_so() -> None:
    with pytest.raises(ExportError, match=r"Branches does not export.*called at test_lifter\.py:\d+: return x.*where"):
        export(Branches(), torch.randn(3, 6))


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.main, self.aux = nn.Linear(6, 2), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        y: Tensor = self.main(x)
        return (y, self.aux(x)) if self.training else y


def test_what_is_not_carried_is_named() -> None:
    notes = export(TwoHeads(), torch.randn(3, 6)).notes
    assert any("auxiliary heads" in n for n in notes)
    assert any("aux.weight" in n for n in notes)


def test_example_inputs_are_checked() -> None:
    with pytest.raises(ExportError, match="empty"):
        export(nn.Linear(2, 2), [])
    with pytest.raises(ExportError, match="first dimension is the batch"):
        export(nn.Linear(2, 2), torch.tensor(1.0))


class Momentum(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(6, momentum=None)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(x)
        return y


def test_cumulative_batch_statistics_survive() -> None:
    loaded = again(export(Momentum(), torch.randn(3, 6)))
    assert loaded.module.get_submodule("norm").momentum is None
    assert any("in training mode" in n for n in loaded.notes)


class HidesCode(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.code = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.code(x)
        return y


def test_a_submodule_that_hides_an_attribute_is_named() -> None:
    with pytest.raises(ExportError, match="rename submodules"):
        export(HidesCode(), torch.randn(3, 6))


class Arithmetic(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = (self.layer(x) * 0.5 + 1) / 3 - 2
        return y


def test_arithmetic_with_numbers() -> None:
    net = Arithmetic()
    loaded = again(export(net, torch.randn(3, 6)))
    x = torch.randn(4, 6)
    assert torch.equal(loaded.module(x), net(x))


class ReturnsList(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 2), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> list[Tensor]:
        return [self.a(x), self.b(x)]


def test_a_list_of_outputs_survives() -> None:
    net = ReturnsList()
    loaded = again(export(net, torch.randn(3, 6)))
    x = torch.randn(2, 6)
    assert all(torch.equal(a, b) for a, b in zip(loaded.module(x), net(x), strict=True))


class AsksForTheBatch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x)
        return y * 2 if x.shape[0] > 4 else y


@pytest.mark.parametrize("batch", [2, 8])
def test_behaviour_that_depends_on_the_batch_is_refused(batch: int) -> None:
    with pytest.raises(ExportError, match="gives another output at batch"):
        export(AsksForTheBatch(), torch.randn(batch, 6))


class FixedKernel(nn.Module):
    """A weight that is no parameter, and one that is read by a layer and directly."""

    def __init__(self) -> None:
        super().__init__()
        self.blur = nn.Buffer(torch.ones(1, 1, 3, 3) / 9)
        self.kernel = nn.Parameter(torch.randn(4, 36))

    def forward(self, x: Tensor) -> Tensor:
        blurred = functional.conv2d(x, self.blur).flatten(1)
        return functional.linear(blurred, self.kernel) + self.kernel.mean(1)


def test_fixed_and_shared_kernels() -> None:
    net = FixedKernel()
    model = export(net, torch.randn(3, 1, 8, 8))
    loaded = again(model)
    x = torch.randn(2, 1, 8, 8)
    assert torch.equal(loaded.module(x), net(x))
    assert sum(p.numel() for p in loaded.module.parameters()) == net.kernel.numel()


class BreaksInTraining(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            raise RuntimeError("needs targets")
        return x * 2


def test_a_module_that_raises_in_training_is_taken_with_a_note() -> None:
    notes = export(BreaksInTraining(), torch.randn(3, 6)).notes
    assert any("needs targets" in n for n in notes)


class Long(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        for _ in range(12):
            x = x + 1
        return x


def test_a_graph_that_no_file_holds_is_refused_before_it_is_exported_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelpress.graph.lift.lifter.MAX_NODES", 10)
    net = Long()
    net.register_forward_pre_hook(lambda module, _: pytest.fail("exported again") if module.training else None)
    with pytest.raises(ExportError, match="the format holds 10; split the module"):
        export(net, torch.randn(3, 4))


class Viewed(nn.Module):
    """Views that only a contiguous tensor allows."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.conv(x)
        return y.view(x.size(0), -1), y.view_as(y.reshape(-1, 24, 6))


def test_views_are_lifted_to_what_any_memory_format_allows() -> None:
    net, x = Viewed(), torch.randn(2, 2, 6, 8)
    loaded = again(export(net, x))
    targets = {str(n.target) for n in loaded.module.graph.nodes if n.op == "call_function"}
    assert {"aten.reshape.default", "aten.reshape_as.default"} < targets
    assert not targets & {"aten.view.default", "aten.view_as.default"}
    for ours, theirs in zip(loaded.module(x), net(x), strict=True):
        assert torch.equal(ours, theirs)
    for ours, theirs in zip(loaded.module(x.contiguous(memory_format=torch.channels_last)), net(x), strict=True):
        torch.testing.assert_close(ours, theirs)
