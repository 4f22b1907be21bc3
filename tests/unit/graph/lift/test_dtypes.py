"""Nothing in a lifted graph names a device, nor a float dtype that was only the model's."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from modelpress.graph.export import export
from modelpress.graph.inputs import read_inputs
from modelpress.graph.lift.lifter import Lifter
from modelpress.graph.trace import trace
from modelpress.graph.twin import trace_twin
from modelpress.testing.zoo import ZOO
from tests.unit.graph.lift.lifting import flat


def _lift(
    net: nn.Module, inputs: dict[str, Tensor], dynamic: dict[str, dict[int, str]] | None = None
) -> fx.GraphModule:
    read = read_inputs(net.eval(), inputs, dynamic)
    traced = trace(net, read)
    lifter = Lifter(traced.module, {}, trace_twin(net, read))
    module = lifter.run(traced.structure).eval()
    assert not lifter.notes
    return module


def _fake(tensor: Tensor, device: str, dtype: torch.dtype) -> Tensor:
    made = torch.empty(tensor.shape, dtype=dtype if tensor.is_floating_point() else tensor.dtype, device=device)
    return nn.Parameter(made, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else made


def _run_elsewhere(module: fx.GraphModule, inputs: dict[str, Tensor], device: str, dtype: torch.dtype) -> list[Tensor]:
    with FakeTensorMode(allow_non_fake_inputs=False), torch.no_grad():
        tensors = [*module.parameters(), *module.buffers()]
        moved = copy.deepcopy(module, {id(t): _fake(t, device, dtype) for t in tensors})
        return flat(moved(*(_fake(x, device, dtype) for x in inputs.values())))


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5", "vit-tiny", "swin-tiny", "graph-scatter"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_zoo_graph_runs_on_another_device(name: str, dtype: torch.dtype, zoo: dict[str, fx.GraphModule]) -> None:
    entry = ZOO[name]
    if name not in zoo:
        zoo[name] = _lift(entry.lively(), entry.examples(), entry.dynamic())
    for output in _run_elsewhere(zoo[name], entry.examples(), "cuda", dtype):
        assert output.device.type == "cuda"
        assert output.dtype == dtype or not output.is_floating_point()


@pytest.fixture(scope="module")
def zoo() -> dict[str, fx.GraphModule]:
    return {}


@pytest.mark.parametrize("name", ["t5", "gpt2"])
def test_in_bfloat16_a_graph_computes_what_the_module_computes(name: str, zoo: dict[str, fx.GraphModule]) -> None:
    entry = ZOO[name]
    net = entry.lively()
    if name not in zoo:
        zoo[name] = _lift(net, entry.examples(), entry.dynamic())
    with torch.no_grad():
        theirs = flat(net.to(torch.bfloat16)(**entry.examples())["logits"])
        ours = flat(copy.deepcopy(zoo[name]).to(torch.bfloat16)(*entry.examples().values()))
    assert torch.equal(ours[0], theirs[0])


class Chooses(nn.Module):
    """Float dtypes of every origin: the user's, the model's, the default; made early, late and in place."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.scale = nn.Linear(4, 4), nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor, ids: Tensor) -> dict[str, Tensor]:
        early = torch.arange(4, dtype=self.scale.dtype, device=x.device) * 2
        mask = torch.zeros(x.shape[0], 4, dtype=x.dtype).masked_fill(ids > 2, torch.finfo(torch.float16).min)
        y = self.layer(x)
        lowest = torch.finfo(y.dtype).min
        precise = y.float().pow(2).mean(-1, keepdim=True)
        normed = (y * torch.rsqrt(precise + 1e-6)).to(self.scale.dtype) * self.scale
        weights = torch.softmax(normed + mask, -1, dtype=torch.float32).type_as(y)
        return {
            "follows": weights + early + torch.full((4,), 0.5, dtype=y.dtype),
            "masked": (y + torch.full((4,), lowest, dtype=y.dtype)).masked_fill(ids > 3, lowest),
            "counts": ids.to(y.dtype).cumsum(0),
            "sum": y.sum(dtype=torch.float64),
            "positions": torch.linspace(0, 1, 4, dtype=torch.float32) + torch.eye(4),
            "cast": ids.float(),
        }


FIXED = {"sum": torch.float64, "positions": torch.float32, "cast": torch.float32}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
def test_the_users_dtypes_stay_and_the_models_follow(dtype: torch.dtype) -> None:
    net, inputs = Chooses(), {"x": torch.randn(3, 4), "ids": torch.randint(0, 5, (3, 4))}
    module = _lift(net, inputs)
    given = {k: v.to(dtype) if v.is_floating_point() else v for k, v in inputs.items()}
    ours, theirs = module.to(dtype)(*given.values()), net.to(dtype)(**given)
    assert {k: v.dtype for k, v in ours.items()} == {k: FIXED.get(k, dtype) for k in theirs}
    same = theirs.keys() - ({"masked"} if dtype != torch.float32 else set())  # the lowest number is a constant
    assert all(torch.equal(ours[k], theirs[k]) for k in same)
    literals = [a for n in module.graph.nodes for a in (*n.args, *n.kwargs.values())]
    assert not any(isinstance(a, torch.device) for a in literals)


class AsksForItsDtype(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x) * torch.ones(4)
        return y.tanh() if x.dtype == torch.bfloat16 else y


def test_what_cannot_be_compared_stays_and_is_noted() -> None:
    model = export(AsksForItsDtype(), torch.randn(3, 4))
    assert any("float dtypes stay as exported, since at another dtype the module makes other" in n for n in model.notes)


class CastsInARegion(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            y: Tensor = self.layer(x.to(self.layer.weight.dtype))
        return y


def test_casts_within_a_region_are_compared_too() -> None:
    model = export(CastsInARegion(), torch.randn(3, 4))
    assert not model.notes
    assert [n.op for n in model.module.graph.nodes] == ["placeholder", "call_module", "output"]


class RunsUnderAutocast(nn.Module):
    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.layer, self.head = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=self.dtype):
            hidden = self.layer(x).relu()
        y: Tensor = self.head(hidden.float())
        return y


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_casts_of_autocast_are_kept_whatever_they_cast_to(dtype: torch.dtype) -> None:
    model = export(RunsUnderAutocast(dtype), torch.randn(3, 4))
    assert any(dtype in node.args for node in model.module.graph.nodes)
