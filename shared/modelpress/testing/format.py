"""What the format promises of any network that it takes, as checks that tests, benchmarks and docs run alike.

Each check gets a `Case` and returns the empty text where the promise holds, else what was wrong.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import _pytree as pytree

from modelpress.graph import names
from modelpress.graph.export import export
from modelpress.graph.model import Model
from modelpress.graph.serialise import Serialised, load, save
from modelpress.testing.zoo import ZOO, Entry

SIZES: tuple[Mapping[str, int], ...] = (
    {},
    {"batch": 1, "length": 7, "nodes": 6, "edges": 9},
    {"batch": 5, "length": 16, "nodes": 13, "edges": 31},
)
"""Sizes of the dynamic dimensions that a graph must run at."""
Check = Callable[["Case"], str]


@dataclass
class Case:
    """One network of the zoo: the module, and its lifted graph made once."""

    entry: Entry
    net: nn.Module = field(init=False)

    def __post_init__(self) -> None:
        self.net = self.entry.lively()

    @classmethod
    def of(cls, name: str) -> Case:
        return cls(ZOO[name])

    @cached_property
    def model(self) -> Model:
        return export(self.net, self.entry.examples(), dynamic=self.entry.dynamic())

    @cached_property
    def files(self) -> Serialised:
        return save(self.model)

    @cached_property
    def loaded(self) -> Model:
        return load(self.files.graph_json, self.files.tensors)

    def inputs(self, seed: int = 1, **sizes: int) -> tuple[dict[str, Tensor], list[Tensor]]:
        """The same random inputs as the module takes them, by name, and as the graph does, in order."""
        by_name = self.entry.examples(seed, **sizes)
        return by_name, [by_name[spec.name] for spec in self.model.inputs]


def flat(output: object) -> list[Tensor]:
    """The tensors of a nested output, in order."""
    return [t for t in pytree.tree_leaves(output) if isinstance(t, Tensor)]


def outputs_are_bit_equal(case: Case) -> str:
    """The graph, lifted and loaded, gives the module's outputs to the bit, at several sizes."""
    for sizes in SIZES:
        by_name, ordered = case.inputs(**sizes)
        with torch.no_grad():
            theirs = flat(case.net(**by_name))
            for which, model in (("lifted", case.model), ("loaded", case.loaded)):
                said = _unequal(theirs, flat(model.module(*ordered)))
                if said:
                    return f"{which}, at {sizes}: {said}"
    return ""


def _unequal(theirs: list[Tensor], ours: list[Tensor]) -> str:
    if len(theirs) != len(ours):
        return f"{len(ours)} outputs instead of {len(theirs)}"
    for i, (a, b) in enumerate(zip(theirs, ours, strict=True)):
        if a.shape != b.shape or a.dtype != b.dtype:
            return f"output {i} is {b.dtype} {list(b.shape)} instead of {a.dtype} {list(a.shape)}"
        if not torch.equal(a, b):
            return f"output {i} differs by {float((a - b).abs().max()):.3g}"
    return ""


def structure_is_kept(case: Case) -> str:
    """Nested outputs come back nested alike; what is no list, tuple or dict becomes the nearest of them."""
    by_name, ordered = case.inputs()
    with torch.no_grad():
        theirs, ours = case.net(**by_name), case.loaded.module(*ordered)
    if isinstance(theirs, Mapping):
        wanted = [key for key, value in theirs.items() if value is not None]
        return "" if list(ours) == wanted else f"keys {list(ours)} instead of {wanted}"
    kinds = (type(theirs), type(ours))
    return "" if isinstance(theirs, Tensor) == isinstance(ours, Tensor) else f"{kinds[1]} instead of {kinds[0]}"


def gradients_are_equal(case: Case) -> str:
    """Every parameter that the module's eval graph uses gets the module's own gradient, to the bit."""
    by_name, ordered = case.inputs()
    theirs = _gradients(case.net, flat(case.net(**by_name)))
    ours = _gradients(case.loaded.module, flat(case.loaded.module(*ordered)))
    for name, gradient in theirs.items():
        own = ours.get(names.clean(name))
        found = own is not None and own.shape == gradient.shape and torch.equal(own, gradient)
        if not found and not any(g.shape == gradient.shape and torch.equal(g, gradient) for g in ours.values()):
            return f"'{name}' has another gradient"
    return ""


def _gradients(module: nn.Module, outputs: list[Tensor]) -> dict[str, Tensor]:
    """Of a fixed random projection of the outputs."""
    generator = torch.Generator().manual_seed(0)
    parts = [(o * torch.randn(o.shape, generator=generator)).sum() for o in outputs if o.requires_grad]
    wanted = {name: p for name, p in module.named_parameters() if p.requires_grad}
    found = torch.autograd.grad(torch.stack(parts).sum(), list(wanted.values()), allow_unused=True)
    return {name: g for (name, _), g in zip(wanted.items(), found, strict=True) if g is not None}


def parameters_are_kept(case: Case) -> str:
    """Nothing is copied or lost: used parameters are there with their values, ``requires_grad`` and ties."""
    by_name, _ = case.inputs()
    used = set(_gradients(case.net, flat(case.net(**by_name))))
    theirs = {n: p for n, p in case.net.named_parameters(remove_duplicate=False) if n in used}
    ours = list(case.loaded.module.parameters())
    total, most = sum(p.numel() for p in ours), sum(p.numel() for p in case.net.parameters())
    if total > most:
        return f"{total} parameters instead of {most}: something was copied"
    for name, p in theirs.items():
        if not any(o.shape == p.shape and o.requires_grad == p.requires_grad and torch.equal(o, p) for o in ours):
            return f"'{name}' is not among the parameters"
    return ""


def round_trip_is_identical(case: Case) -> str:
    """Reading and writing again gives the same bytes, and so does another export."""
    if save(case.loaded) != case.files:
        return "writing what was read gives other bytes"
    again = save(export(case.net, case.entry.examples(seed=3), dynamic=case.entry.dynamic(), check=False))
    return "" if again.graph_json == case.files.graph_json or case.model.notes else "a second export gives other bytes"


def training_is_carried(case: Case) -> str:
    """With one random state, the graph in training mode gives the module's outputs and statistics, or says why not."""
    by_name, ordered = case.inputs()
    results = []
    for module, args, kwargs in ((case.net, [], by_name), (case.loaded.module, ordered, {})):
        trial = copy.deepcopy(module).train()
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(0)
            outputs = flat(trial(*args, **kwargs))
        statistics = {n: b for n, b in trial.named_buffers() if "running_" in n}
        results.append((outputs, statistics))
    (theirs, their_stats), (ours, our_stats) = results
    said = _unequal(theirs, ours)
    moved = [n for n, b in their_stats.items() if n in our_stats and not torch.equal(b, our_stats[n])]
    said = said or (f"'{moved[0]}' moves otherwise" if moved else "")
    return "" if not said or any("train" in note for note in case.model.notes) else f"{said}, and no note says so"


def nothing_is_baked(case: Case) -> str:
    """The graph runs on another device and in bfloat16, under fake tensors."""
    _, ordered = case.inputs()
    recurrent = any(isinstance(leaf, nn.RNNBase) for _, leaf in case.model.leaves())
    other = "meta" if recurrent else "cuda"  # recurrent layers on CUDA ask the real driver, fake or not
    for device, dtype in ((other, torch.float32), ("cpu", torch.bfloat16), (other, torch.bfloat16)):
        said = _elsewhere(case.loaded, ordered, device, dtype)
        if said:
            return said
    return ""


def _elsewhere(model: Model, inputs: list[Tensor], device: str, dtype: torch.dtype) -> str:
    try:
        with FakeTensorMode(allow_non_fake_inputs=False) as mode, torch.no_grad():
            module = copy.deepcopy(model.module, {id(t): _moved(mode, t, device, dtype) for t in _tensors(model)})
            outputs = flat(module(*(_moved(mode, x, device, dtype) for x in inputs)))
    except Exception as e:
        return f"on {device} in {dtype}: {type(e).__name__}: {str(e).splitlines()[0][:200]}"
    odd = [o for o in outputs if o.device.type != device or (o.is_floating_point() and o.dtype != dtype)]
    return f"on {device} in {dtype}: an output is {odd[0].dtype} on {odd[0].device}" if odd else ""


def _tensors(model: Model) -> Iterator[Tensor]:
    yield from model.module.parameters()
    yield from model.module.buffers()


def _moved(mode: FakeTensorMode, tensor: Tensor, device: str, dtype: torch.dtype) -> Tensor:
    with mode:
        fake = torch.empty(tensor.shape, dtype=dtype if tensor.is_floating_point() else tensor.dtype, device=device)
        return nn.Parameter(fake, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else fake


def memory_formats_are_alike(case: Case) -> str:
    """In ``channels_last``, the training loop's, the graph gives the outputs and gradients of the contiguous one.

    In float64: sums in another order flip float32's activations at a kink, and gradients jump there.
    """
    ordered = [x.double() if x.is_floating_point() else x for x in case.inputs()[1]]
    results = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        trial = copy.deepcopy(case.loaded.module).double()
        for parameter in trial.parameters():
            parameter.data = _laid_out(parameter.data, memory_format)
        outputs = flat(trial(*(_laid_out(x, memory_format) for x in ordered)))
        results.append([*outputs, *_gradients(trial, outputs).values()])
    contiguous, channels_last = results
    for ours, theirs in zip(channels_last, contiguous, strict=True):
        error = float((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1e-6))
        if error > 1e-6:
            return f"an output or gradient {list(theirs.shape)} differs by {error:.2g} of its scale"
    return ""


def _laid_out(tensor: Tensor, memory_format: torch.memory_format) -> Tensor:
    return tensor.contiguous(memory_format=memory_format) if tensor.ndim == 4 else tensor


def onnx_agrees(case: Case) -> str:
    """ONNX Runtime gives the graph's outputs within float tolerance, at several sizes."""
    import onnxruntime

    from modelpress.graph.packages.onnx import to_onnx

    session = onnxruntime.InferenceSession(to_onnx(case.loaded), providers=["CPUExecutionProvider"])
    for sizes in SIZES:
        _, ordered = case.inputs(**sizes)
        feed = {spec.name: x.numpy() for spec, x in zip(case.model.inputs, ordered, strict=True)}
        with torch.no_grad():
            ours = flat(case.loaded.module(*ordered))
        for i, (a, b) in enumerate(zip(ours, session.run(None, feed), strict=True)):
            error = float((a - torch.from_numpy(b)).abs().max() / a.abs().max().clamp(min=1e-6))
            if error > 1e-3:
                return f"at {sizes}: output {i} differs by {error:.2g} of its scale"
    return ""


CHECKS: Mapping[str, Check] = {
    check.__name__.replace("_", " "): check
    for check in (
        outputs_are_bit_equal, structure_is_kept, gradients_are_equal, parameters_are_kept, round_trip_is_identical,
        training_is_carried, nothing_is_baked, memory_formats_are_alike, onnx_agrees,
    )
}  # fmt: skip
