"""Builders of the zoo's networks that torchvision, timm and transformers ship, with random weights.

The packages are imported when a network is built: they are test extras.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn


def torchvision_net(name: str, **arguments: Any) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        import torchvision

        net: nn.Module = getattr(torchvision.models, name)(weights=None, **{"num_classes": 10, **arguments})
        return net

    return build


def timm_net(name: str, **arguments: Any) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        import timm

        net: nn.Module = timm.create_model(name, pretrained=False, **{"num_classes": 10, **arguments})
        return net

    return build


def transformers_net(kind: str, config: str, **arguments: Any) -> Callable[[], nn.Module]:
    """``kind`` and ``config`` are class names; ``use_cache`` is off where the configuration has it."""

    def build() -> nn.Module:
        import transformers

        settings = getattr(transformers, config)(**arguments)
        settings.use_cache = False
        net: nn.Module = getattr(transformers, kind)(settings)
        return net

    return build


def vgg16_bn() -> nn.Module:
    """VGG-16-BN for small images: one linear layer behind the convolutions, as is usual on CIFAR."""
    net = torchvision_net("vgg16_bn")()
    net.avgpool = nn.AdaptiveAvgPool2d(1)
    net.classifier = nn.Sequential(nn.Dropout(0.5), nn.Linear(512, 10))
    return net


BERT = {
    "vocab_size": 100, "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 96, "max_position_embeddings": 40, "num_labels": 3,
}  # fmt: skip
GPT2 = {"vocab_size": 100, "n_positions": 40, "n_embd": 48, "n_layer": 2, "n_head": 4}
T5 = {"vocab_size": 100, "d_model": 48, "d_kv": 12, "d_ff": 96, "num_layers": 2, "num_heads": 4}
