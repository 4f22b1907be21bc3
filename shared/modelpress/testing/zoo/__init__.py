"""Well-known architectures with random weights, for tests and benchmarks (their packages are test extras)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from modelpress.testing.zoo import nets
from modelpress.testing.zoo.packaged import BERT, GPT2, T5, timm_net, torchvision_net, transformers_net, vgg16_bn

SIZES: Mapping[str, int] = {"batch": 2, "length": 12, "target_length": 9, "nodes": 10, "edges": 24}
"""What a symbol in an input's shape is in an example."""


@dataclass(frozen=True)
class Input:
    """Shape of one input, with a symbol where it is dynamic; ``below`` makes it integers in [0, below).

    A text in ``below`` is a symbol: node numbers of an edge list lie below ``nodes``. ``starts_with`` fixes the first
    of the last dimension: a mask that lets a token attend to nothing has no defined answer.
    """

    shape: tuple[int | str, ...]
    below: int | str = 0
    starts_with: int | None = None

    def example(self, sizes: Mapping[str, int], generator: torch.Generator) -> Tensor:
        shape = [sizes[n] if isinstance(n, str) else n for n in self.shape]
        high = sizes[self.below] if isinstance(self.below, str) else self.below
        if not high:
            return torch.randn(shape, generator=generator)
        drawn = torch.randint(0, high, shape, generator=generator)
        if self.starts_with is not None:
            drawn[..., 0] = self.starts_with
        return drawn


@dataclass(frozen=True)
class Entry:
    """How to build a network, and its inputs by the names that its ``forward`` gives them."""

    build: Callable[[], nn.Module]
    inputs: Mapping[str, Input] = field(default_factory=dict)

    def examples(self, seed: int = 0, **sizes: int) -> dict[str, Tensor]:
        """Random inputs by name; ``sizes`` overrides `SIZES` by symbol."""
        generator = torch.Generator().manual_seed(seed)
        return {name: spec.example({**SIZES, **sizes}, generator) for name, spec in self.inputs.items()}

    def example(self, batch: int = 2, seed: int = 0) -> Tensor:
        """The only input of a network that has one."""
        (tensor,) = self.examples(seed, batch=batch).values()
        return tensor

    def dynamic(self) -> dict[str, dict[int, str]]:
        """Symbol of each dynamic dimension, by input."""
        return {
            name: {i: n for i, n in enumerate(spec.shape) if isinstance(n, str)} for name, spec in self.inputs.items()
        }

    def lively(self, seed: int = 0) -> nn.Module:
        """Built with ``seed``; batch-norm statistics and affine parameters, and weights of zero, are made random."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net = self.build()
            for module in net.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    nn.init.uniform_(module.weight, 0.5, 1.5)
                    nn.init.normal_(module.bias, std=0.1)
                    nn.init.normal_(module.running_mean, std=0.1)  # type: ignore[arg-type]
                    nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
            for parameter in net.parameters():
                if parameter.ndim > 1 and not parameter.any():
                    nn.init.normal_(parameter, std=0.1)  # heads that start at zero say nothing
        return net.eval()


def _images(build: Callable[[], nn.Module], side: int, channels: int = 3, name: str = "x") -> Entry:
    return Entry(build, {name: Input(("batch", channels, side, side))})


def _tokens(build: Callable[[], nn.Module], *names: str, vocabulary: int = 100) -> Entry:
    """Token ids, and masks of the same shape (every name that ends in ``mask``); a decoder has a length of its own."""

    def described(name: str) -> Input:
        shape = ("batch", "target_length" if name.startswith("decoder") else "length")
        return Input(shape, 2, starts_with=1) if name.endswith("mask") else Input(shape, vocabulary)

    return Entry(build, {name: described(name) for name in names})


def _lstm() -> nn.Module:
    return nets.RecurrentClassifier(nn.LSTM)


def _gru() -> nn.Module:
    return nets.RecurrentClassifier(nn.GRU, bidirectional=True)


ZOO: Mapping[str, Entry] = {
    "lenet-300-100": _images(nets.Lenet300, 28, 1),
    "lenet-5": _images(nets.Lenet5, 28, 1),
    "resnet-18": _images(torchvision_net("resnet18"), 64),
    "resnet-50": _images(torchvision_net("resnet50"), 64),
    "resnext-50": _images(torchvision_net("resnext50_32x4d"), 64),
    "vgg-16-bn": _images(vgg16_bn, 32),
    "googlenet": _images(torchvision_net("googlenet", init_weights=True), 64),
    "inception-v3": _images(torchvision_net("inception_v3", init_weights=True), 299),
    "mobilenet-v1": _images(nets.MobileNetV1, 64),
    "mobilenet-v2": _images(torchvision_net("mobilenet_v2"), 64),
    "mobilenet-v3": _images(torchvision_net("mobilenet_v3_small"), 64),
    "shufflenet-v2": _images(torchvision_net("shufflenet_v2_x1_0"), 64),
    "squeezenet": _images(torchvision_net("squeezenet1_1"), 64),
    "efficientnet-b0": _images(torchvision_net("efficientnet_b0"), 64),
    "densenet-121": _images(torchvision_net("densenet121"), 64),
    "ghostnet": _images(timm_net("ghostnet_100"), 64),
    "convnext-tiny": _images(torchvision_net("convnext_tiny"), 64),
    "vit-tiny": _images(timm_net("vit_tiny_patch16_224", img_size=64, drop_path_rate=0.1, attn_drop_rate=0.1), 64),
    "swin-tiny": _images(timm_net("swin_tiny_patch4_window7_224"), 224),
    "mlp-mixer": _images(timm_net("mixer_s32_224", img_size=64), 64),
    "unet": _images(nets.UNet, 32),
    "detector": _images(nets.Detector, 64),
    "temporal-conv-net": Entry(nets.TemporalConvNet, {"x": Input(("batch", 4, 20))}),
    "lstm": Entry(_lstm, {"tokens": Input(("batch", 12), 50)}),
    "gru": Entry(_gru, {"tokens": Input(("batch", 12), 50)}),
    "bert": _tokens(
        transformers_net("BertForSequenceClassification", "BertConfig", **BERT), "input_ids", "attention_mask"
    ),
    "gpt2": _tokens(transformers_net("GPT2LMHeadModel", "GPT2Config", **GPT2), "input_ids", "attention_mask"),
    "t5": _tokens(
        transformers_net("T5ForConditionalGeneration", "T5Config", **T5),
        "input_ids", "attention_mask", "decoder_input_ids",
    ),
    "graph-dense": Entry(
        nets.DenseGraphNet,
        {"features": Input(("batch", "nodes", 8)), "adjacency": Input(("batch", "nodes", "nodes"), 2)},
    ),
    "graph-scatter": Entry(
        nets.ScatterGraphNet, {"features": Input(("nodes", 8)), "edges": Input((2, "edges"), "nodes")}
    ),
    "dcgan": Entry(nets.DcganGenerator, {"z": Input(("batch", 64))}),
    "dqn": _images(nets.DuelingDqn, 84, 4, "frames"),
}  # fmt: skip
