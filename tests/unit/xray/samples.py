"""X-rays made by hand: of a network like a ResNet, of a tiny one, and of one that is extreme in every way."""

from __future__ import annotations

from collections.abc import Sequence

from modelpress.xray.findings import (
    AxisFinding,
    Candidate,
    FrozenFinding,
    Latency,
    LayerFinding,
    Machine,
    Skipped,
    XRay,
)

VERSIONS = {"modelpress": "0.1.0", "torch": "2.14.1", "onnx": "1.20.0", "onnxruntime": "1.23.2", "python": "3.11.2"}
MACHINE = Machine("AMD EPYC 7B13", 2, 2, "onnxruntime 1.23.2, CPUExecutionProvider", VERSIONS)
RESNET_BLOCKS = ((64, 256, 3, 56), (128, 512, 4, 28), (256, 1024, 6, 14), (512, 2048, 3, 7))


def latency(batch: int, dense_ms: float, ratio: float, spread: float = 0.04, noise: float = 0.03) -> Latency:
    return Latency(batch, dense_ms / ratio, ratio, ratio * (1 - spread), ratio * (1 + spread), noise)


def candidate(
    name: str, width: float, int8: bool, ratios: Sequence[float], floats: Sequence[str] = (), spread: float = 0.04
) -> Candidate:
    smaller = (3.9 if int8 else 1.0) / width**2
    dense = name == "dense"
    latencies = tuple(
        latency(batch, ms, ratio, 0.0 if dense else spread)
        for batch, ms, ratio in zip((1, 64), (38.4, 2140.0), ratios, strict=False)
    )
    size, parameters, macs = (round(n * width**2) for n in (97_800_000, 25_557_032, 4_089_184_256))
    return Candidate(name, width, int8, size // (4 if int8 else 1), smaller, parameters, macs, latencies, tuple(floats))


def resnet() -> XRay:
    """What an x-ray of a ResNet-50 looks like."""
    candidates = (
        candidate("dense", 1, False, (1, 1)),
        candidate("int8", 1, True, (3.4, 2.9), ["conv1", "fc"]),
        candidate("width 3/4", 0.75, False, (1.6, 1.7)),
        candidate("width 3/4, int8", 0.75, True, (4.9, 4.4), ["conv1", "fc"]),
        candidate("width 1/2", 0.5, False, (3.5, 3.6)),
        candidate("width 1/2, int8", 0.5, True, (8.2, 8.9), ["conv1", "fc"]),
        candidate("width 3/8", 0.375, False, (3.6, 6.0)),
        candidate("width 3/8, int8", 0.375, True, (8.1, 11.6), ["conv1", "fc"]),
        candidate("low rank", 1, False, (1.01, 0.9)),
    )
    return XRay(
        source="timm:resnet50",
        verdict="int8 alone: 3.4× faster, 3.9× smaller. Half the width on top: 8.2× faster and 16× smaller at batch 1.",
        batches=(1, 64),
        candidates=candidates,
        skipped=(Skipped("width 1/4", "the convolutions of layer1 would have 16 channels, fewer than the step of 32"),),
        layers=tuple(resnet_layers()),
        layers_beside="width 1/2, int8",
        axes=tuple(resnet_axes()),
        frozen=(
            FrozenFinding("conv1.in", "input", "timm/models/resnet.py:589: x = self.conv1(x)", 9408),
            FrozenFinding("fc.out", "output", "timm/models/resnet.py:628: x = self.forward_head(x)", 2_049_000, 1000),
            FrozenFinding("layer4.attend.q", "no rule for topk", "model.py:42: best = scores.topk(8)", 4096, 4096),
            FrozenFinding("layer4.attend.k", "no rule for topk", "model.py:42: best = scores.topk(8)", 4096),
        ),
        prunable_share=0.978,
        notes=("dropout of 'fc' in train mode is p=0.2 in the export as in the module",),
        warnings=(
            "Low rank does not pay here: 1.01× at batch 1 is within the noise; 1×1 convolutions are memory-bound.",
            "Below half the width nothing more is gained at batch 1: channels are no multiple of 32.",
        ),
        next_command="modelpress run slim-distill-int8 --model timm/resnet50 --data YOUR_DATA --set sparsity=0.5",
        machine=MACHINE,
        seconds=28.4,
    )


def resnet_layers() -> list[LayerFinding]:
    layers = [conv("conv1", 64, 3, 7, 112)]
    inputs = 64
    for stage, (middle, outputs, blocks, side) in enumerate(RESNET_BLOCKS, 1):
        for block in range(blocks):
            path = f"layer{stage}.{block}"
            layers += [
                conv(f"{path}.conv1", middle, inputs, 1, side),
                conv(f"{path}.conv2", middle, middle, 3, side),
                conv(f"{path}.conv3", outputs, middle, 1, side),
            ]
            layers += [conv(f"{path}.downsample.0", outputs, inputs, 1, side)] if block == 0 else []
            inputs = outputs
    return [*layers, LayerFinding("fc", "Linear", (1000, 2048), 2_049_000, 2_048_000, 8_196_000, 4000, 310.0, 290.0)]


def conv(path: str, outputs: int, inputs: int, kernel: int, side: int) -> LayerFinding:
    parameters = outputs * inputs * kernel * kernel
    macs = parameters * side * side
    time_us = macs / 1.1e5 + 20
    return LayerFinding(
        path,
        "Conv2d",
        (outputs, inputs, kernel, kernel),
        parameters,
        macs,
        4 * parameters,
        4 * outputs * side * side,
        time_us,
        time_us / (1.2 if path == "conv1" else 8.5),
    )


def resnet_axes() -> list[AxisFinding]:
    axes = []
    for stage, (middle, outputs, blocks, _) in enumerate(RESNET_BLOCKS, 1):
        trunk = tuple(f"layer{stage}.{b}.conv3" for b in range(blocks))
        axes.append(AxisFinding(f"layer{stage}.out", outputs, (*trunk, f"layer{stage}.0.downsample.0"), 2 * outputs**2))
        for block in range(blocks):
            for i in (1, 2):
                layers = (f"layer{stage}.{block}.conv{i}", f"layer{stage}.{block}.conv{i + 1}")
                axes.append(AxisFinding(f"layer{stage}.{block}.conv{i}", middle, layers, 13 * middle**2))
    return axes


def mlp() -> XRay:
    """Two layers, one axis, nothing that pays."""
    ratios = ((1.0,), (0.8,), (1.02,))
    names = (("dense", 1.0, False), ("int8", 1.0, True), ("width 1/2", 0.5, False))
    candidates = tuple(candidate(*n, ratios=r) for n, r in zip(names, ratios, strict=True))
    return XRay(
        source="my_models:build",
        verdict="Nothing pays at batch 1: int8 is 1.25× slower, half the width within the noise.",
        batches=(1,),
        candidates=candidates,
        skipped=(),
        layers=(
            LayerFinding("first", "Linear", (32, 16), 544, 512, 2176, 128, 4.1, 4.3),
            LayerFinding("second", "Linear", (4, 32), 132, 128, 528, 16, 2.2, 2.2),
        ),
        layers_beside="width 1/2",
        axes=(AxisFinding("first", 32, ("first", "second"), 672, "aten.softmax"),),
        frozen=(FrozenFinding("first.in", "input"), FrozenFinding("second.out", "output")),
        prunable_share=1.0,
        notes=(),
        warnings=("The model is too small for its arithmetic to matter: a call is mostly overhead.",),
        next_command="modelpress methods",
        machine=MACHINE,
        seconds=3.2,
    )


def extreme(name: str = "a") -> XRay:
    """400 axes, 1,000 layers, names of 200 letters that ``name`` begins, no times of layers, a noisy machine."""
    paths = [f"{name}{'.very_deep_block' * 12}.{i}"[-200:] if i % 2 else f"blocks.{i}.attn.qkv" for i in range(1000)]
    paths[0] = name
    layers = tuple(
        LayerFinding(p, "Linear", (768, 768), 590_592, 590_592 * (1 + i % 7) ** 3, 2_362_368, 3072)
        for i, p in enumerate(paths)
    )
    candidates = (
        candidate("dense", 1, False, (1, 1)),
        *(
            candidate(f"width {k}/16" + ", int8" * i, k / 16, bool(i), (1.1, 1.2), paths[:300], spread=0.5)
            for k in range(15, 3, -1)
            for i in (0, 1)
        ),
        Candidate(f"{name}'s own", 1, False, 97_800_000, 1.0, 25_557_032, 10**15, ()),
    )
    because = ("", "aten.layer_norm")
    axes = tuple(
        AxisFinding(p, 1 + i, tuple(paths[i : i + 30]), 10**7 // (i + 1), because[i % 2])
        for i, p in enumerate(paths[:400])
    )
    return XRay(
        source=name,
        verdict=f"{name}: the machine is too noisy to tell",
        batches=(1, 64),
        candidates=candidates,
        skipped=tuple(Skipped(p, f"{p} has no integer kernel") for p in paths[:12]),
        layers=layers,
        layers_beside="width 15/16",
        axes=axes,
        frozen=tuple(
            FrozenFinding(p, f"nonzero at {paths[i % 3]}", f"{name}.py:{i % 5}: {paths[1]}")
            for i, p in enumerate(paths[:600])
        ),
        prunable_share=0.31,
        notes=(f"{name} is lost",),
        warnings=(f"{name} does not pay", paths[1]),
        next_command=f"modelpress run {name}",
        machine=Machine(name, 2, 1, name, {name: name}),
        seconds=59.0,
        noisy="the same call took 1 to 3 times as long within a minute; nothing can be told apart",
    )
