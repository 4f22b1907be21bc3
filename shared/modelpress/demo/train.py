"""How the demo's weights are made: ``examples/fashion-resnet/train.py`` calls this, and so does a demo without them."""

from __future__ import annotations

import torch
from safetensors.torch import save

from modelpress.data.dataset import Dataset
from modelpress.demo.net import FashionResNet
from modelpress.job import Job
from modelpress.training.loop import FitSettings, History, fit
from modelpress.training.objectives import CrossEntropy

EPOCHS = 50
LEARNING_RATE = 0.2


def train(data: Dataset, job: Job, epochs: int = EPOCHS) -> tuple[bytes, History]:
    """Train the network from random weights; return its weights as safetensors bytes, and how it went."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.seed)
        net = FashionResNet()
    history = fit(net, data, CrossEntropy(), FitSettings(epochs, LEARNING_RATE), job)
    return save({name: tensor.contiguous() for name, tensor in net.state_dict().items()}), history
