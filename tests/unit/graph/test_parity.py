"""A graph is compared with its module, and the module is left as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from modelpress.errors import ExportError
from modelpress.graph.export import export
from modelpress.graph.inputs import Inputs, read_inputs
from modelpress.graph.model import Model
from modelpress.graph.parity import compare


class Rounds(torch.autograd.Function):
    """A straight-through estimator."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.round()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm, self.spare = nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.layer(x))
        return y


class Quantizes(Net):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = Rounds.apply(self.layer(x) * 4)
        return y


class Remembers(Net):
    """Keeps what it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []
        self.calls = 100_000

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x)
        self.seen.append(y)
        self.calls += 1
        self.last = y
        return y


def lifted(net: nn.Module) -> tuple[Model, Inputs]:
    x = torch.randn(3, 4)
    return export(net, x, check=False), read_inputs(net, x)


def test_a_faithful_graph_gives_a_note_on_what_it_leaves_out_alone() -> None:
    model, inputs = lifted(net := Net().eval())
    assert compare(net, model.module, inputs) == ["unused by the eval graph and left out: spare.weight, spare.bias"]


def test_another_output_is_an_error_that_says_where() -> None:
    model, inputs = lifted(net := Net().eval())
    with torch.no_grad():
        model.module.get_parameter("layer.weight")[1, 2] += 1e-6
    with pytest.raises(ExportError, match=r"the graph of Net gives another output at batch 3: it differs by .*e-0"):
        compare(net, model.module, inputs)


def test_a_gradient_that_a_custom_function_replaces_is_named() -> None:
    notes = export(Quantizes(), torch.randn(3, 4)).notes
    assert any("gradient of 'layer.weight' is not carried" in note for note in notes)


class FailsBackward(Net):
    def forward(self, x: Tensor) -> Tensor:
        grown = self.layer(x).exp()
        y: Tensor = self.norm(grown) + grown.square()
        grown.add_(1)
        return y


def test_a_module_whose_own_backward_raises_is_taken_with_a_note() -> None:
    model, inputs = lifted(net := FailsBackward().eval())
    notes = compare(net, model.module, inputs)
    assert any("own backward raises RuntimeError" in n and "gradients were not compared" in n for n in notes)
    with torch.no_grad():
        model.module.get_parameter("layer.weight")[1, 2] += 1e-3
    with pytest.raises(ExportError, match="another output at batch 3"):
        compare(net, model.module, inputs)


class LooksUp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(5, 4)

    def forward(self, tokens: Tensor) -> Tensor:
        y: Tensor = self.words(tokens)
        return y


def test_examples_that_the_module_itself_refuses_are_named_with_the_line() -> None:
    with pytest.raises(ExportError, match=r"LooksUp raises IndexError .*test_parity\.py:\d+: y: Tensor = self\.words"):
        export(LooksUp(), torch.tensor([[1, 7], [2, 3]]))


def test_other_batch_statistics_are_named() -> None:
    model, inputs = lifted(net := Net().eval())
    model.module.get_submodule("norm").momentum = 0.5  # type: ignore[assignment]
    assert any("batch statistics" in note and "running_mean" in note for note in compare(net, model.module, inputs))


def test_the_module_is_left_as_it_was() -> None:
    net = Net()
    net.norm.eval()
    net.layer.weight.grad = torch.ones(4, 4)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    state = torch.random.get_rng_state()
    export(net, torch.randn(3, 4, generator=torch.Generator().manual_seed(0)))
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert [m.training for m in net.modules()] == [True, True, False, True]
    assert torch.equal(net.layer.weight.grad, torch.ones(4, 4))
    assert net.spare.weight.grad is None
    assert torch.equal(torch.random.get_rng_state(), state)


def test_attributes_that_a_call_changes_are_put_back_and_named() -> None:
    net = Remembers()
    notes = export(net, torch.randn(3, 4)).notes
    assert (net.seen, net.calls, hasattr(net, "last")) == ([], 100_000, False)
    assert any("a call changes last, seen, calls of the module" in note for note in notes)


def test_hooks_are_named() -> None:
    net = Net()
    net.layer.register_forward_hook(lambda module, args, output: output * 2)
    net.norm.register_full_backward_hook(lambda module, gradients, outputs: None)
    notes = export(net, torch.randn(3, 4)).notes
    assert any("hooks of 'layer'" in note for note in notes)
    assert any("backward hooks of 'norm' are not carried" in note for note in notes)


@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.compile], ids=["parallel", "compiled"])
def test_wrappers_are_seen_through(wrap: Callable[[nn.Module], nn.Module]) -> None:
    model = export(wrap(Net()), torch.randn(3, 4))
    assert "layer.weight" in dict(model.module.named_parameters())


def test_compiled_parts_run_as_they_are_written() -> None:
    net = Net()
    net.layer.compile(backend=_never)
    assert "layer" in dict(export(net, torch.randn(3, 4)).leaves())


def _never(*_: Any) -> Any:
    raise AssertionError("compiled")


def test_weights_that_are_not_contiguous_are_taken_and_left_as_they_were() -> None:
    net = nn.Sequential(nn.Linear(64, 48), nn.Linear(48, 48), nn.Linear(48, 32, bias=False))
    net[0].weight = nn.Parameter(torch.randn(48, 128)[:, ::2])
    net[1].weight = nn.Parameter(torch.randn(48, 48).t())
    net[2].weight = nn.Parameter(torch.randn(32, 1).expand(32, 48))
    model = export(net, torch.randn(4, 64))
    assert [net.get_parameter(f"{i}.weight").stride() for i in range(3)] == [(128, 2), (1, 48), (1, 0)]
    assert all(p.is_contiguous() for p in model.module.parameters())


@pytest.mark.parametrize(
    ("net", "told"),
    [
        (nn.Sequential(nn.LazyLinear(4)), r"'0\.weight' has no size yet; call the module once"),
        (nn.ModuleDict({"in": nn.Linear(4, 4)}), r"'in\.weight': .*Python's word 'in'; rename"),
    ],
)
def test_parts_that_no_export_takes_are_named(net: nn.Module, told: str) -> None:
    with pytest.raises(ExportError, match=told):
        export(net, torch.randn(3, 4))


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is")
def test_a_scripted_part_is_named() -> None:
    net = nn.Sequential(nn.ReLU(), torch.jit.script(nn.Linear(4, 4)))
    with pytest.raises(ExportError, match=r"'1' is a TorchScript module"):
        export(net, torch.randn(3, 4))


def test_half_precision() -> None:
    model = export(nn.Linear(4, 2).bfloat16(), torch.randn(3, 4, dtype=torch.bfloat16))
    assert model.inputs[0].dtype == "bfloat16"
    assert {p.dtype for p in model.module.parameters()} == {torch.bfloat16}


def test_devices() -> None:
    net = Net()
    net.spare.to("meta")
    with pytest.raises(ExportError, match=r"'spare\.weight' is on the meta device"):
        export(net, torch.randn(3, 4))


def test_attention_takes_its_ordinary_path_and_the_switch_is_put_back() -> None:
    net = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 1)
    model = export(net, torch.randn(2, 5, 8))
    assert "Attention" in {type(leaf).__name__ for _, leaf in model.leaves()}
    assert model.notes == ()
    assert torch.backends.mha.get_fastpath_enabled()


def test_recurrent_layers_own_the_weights_that_they_run_on() -> None:
    net = nn.LSTM(4, 4, batch_first=True)
    model = export(net, torch.randn(2, 5, 4), check=False)
    x = torch.randn(2, 5, 4)
    before = model.module(x)[0]
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    assert torch.equal(model.module(x)[0], before)


def test_buffers_and_frozen_parameters_that_are_left_out_are_named() -> None:
    net = nn.Linear(3, 2)
    net.register_buffer("spare", torch.ones(5))
    net.frozen = nn.Parameter(torch.zeros(7), requires_grad=False)
    model = export(net.eval(), torch.randn(2, 3))
    assert model.notes == ("unused by the eval graph and left out: frozen, spare",)
