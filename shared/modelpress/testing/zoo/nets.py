"""The zoo's networks that no package ships: small, plain, written as their papers describe them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Lenet300(nn.Module):
    """LeNet-300-100 (LeCun et al. 1998): a multilayer perceptron on flattened images."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x.flatten(1))
        return y


class Lenet5(nn.Module):
    """LeNet-5 (LeCun et al. 1998), functional style, with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(400, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(functional.relu(self.conv1(x)), 2)
        x = functional.max_pool2d(functional.relu(self.conv2(x)), 2)
        x = functional.relu(self.fc1(x.view(x.size(0), -1)))
        x = functional.dropout(functional.relu(self.fc2(x)), 0.3, self.training)
        y: Tensor = self.fc3(x)
        return y


class MobileNetV1(nn.Module):
    """MobileNet (Howard et al. 2017, arXiv:1704.04861) at a quarter of the width: depthwise separable convolutions."""

    PLAN = ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), (128, 1))

    def __init__(self) -> None:
        super().__init__()
        width = 8
        layers = [self._block(3, width, 3, 2, 1)]
        for out, stride in self.PLAN:
            layers += [self._block(width, width, 3, stride, width), self._block(width, out, 1, 1, 1)]
            width = out
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(width, 10)

    @staticmethod
    def _block(inputs: int, outputs: int, kernel: int, stride: int, groups: int) -> nn.Sequential:
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.features(x).mean((2, 3)))
        return y


class UNet(nn.Module):
    """U-Net (Ronneberger et al. 2015, arXiv:1505.04597), two levels, transposed convolutions on the way up."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.down1, self.down2 = self._double(3, width), self._double(width, 2 * width)
        self.bottom = self._double(2 * width, 4 * width)
        self.up2, self.merge2 = nn.ConvTranspose2d(4 * width, 2 * width, 2, 2), self._double(4 * width, 2 * width)
        self.up1, self.merge1 = nn.ConvTranspose2d(2 * width, width, 2, 2), self._double(2 * width, width)
        self.head = nn.Conv2d(width, 2, 1)

    @staticmethod
    def _double(inputs: int, outputs: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for i in (inputs, outputs):
            layers += [nn.Conv2d(i, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        return nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        a = self.down1(x)
        b = self.down2(functional.max_pool2d(a, 2))
        y = self.up2(self.bottom(functional.max_pool2d(b, 2)))
        y = self.up1(self.merge2(torch.cat([y, b], 1)))
        out: Tensor = self.head(self.merge1(torch.cat([y, a], 1)))
        return out


class Detector(nn.Module):
    """A single-shot detector's backbone and heads (Liu et al. 2016, arXiv:1512.02325): raw classes and boxes.

    Decoding boxes and suppressing overlaps are the task's, not the graph's.
    """

    def __init__(self, classes: int = 5, anchors: int = 4) -> None:
        super().__init__()
        self.classes = classes
        widths = (16, 32, 64)
        stages = []
        for inputs, outputs in zip((3, *widths), widths, strict=False):
            conv = nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False)
            stages.append(nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU6()))
        self.stages = nn.ModuleList(stages)
        self.class_heads = nn.ModuleList(nn.Conv2d(w, anchors * classes, 3, padding=1) for w in widths[1:])
        self.box_heads = nn.ModuleList(nn.Conv2d(w, anchors * 4, 3, padding=1) for w in widths[1:])

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        scores = [self._flat(head(m), self.classes) for head, m in zip(self.class_heads, maps[1:], strict=True)]
        boxes = [self._flat(head(m), 4) for head, m in zip(self.box_heads, maps[1:], strict=True)]
        return {"scores": torch.cat(scores, 1), "boxes": torch.cat(boxes, 1)}

    @staticmethod
    def _flat(x: Tensor, last: int) -> Tensor:
        return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, last)


class TemporalConvNet(nn.Module):
    """A temporal convolution network (Bai et al. 2018, arXiv:1803.01271): dilated causal convolutions, residuals."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.first = nn.Conv1d(4, width, 1)
        self.blocks = nn.ModuleList(nn.Conv1d(width, width, 3, dilation=2**k, padding=2 * 2**k) for k in range(3))
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(width, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for k, block in enumerate(self.blocks):
            x = x + self.drop(functional.relu(block(x)[:, :, : -2 * 2**k]))
        y: Tensor = self.head(x[:, :, -1])
        return y


class RecurrentClassifier(nn.Module):
    """Tokens of a fixed length, an embedding, an LSTM or GRU, and the last state's class."""

    def __init__(self, kind: type[nn.LSTM] | type[nn.GRU], layers: int = 2, bidirectional: bool = False) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 16)
        self.recurrent = kind(16, 24, layers, batch_first=True, dropout=0.1, bidirectional=bidirectional)
        self.head = nn.Linear(24 * (2 if bidirectional else 1), 5)

    def forward(self, tokens: Tensor) -> Tensor:
        y: Tensor = self.head(self.recurrent(self.embedding(tokens))[0][:, -1])
        return y


class DenseGraphNet(nn.Module):
    """A graph convolution network (Kipf and Welling 2017, arXiv:1609.02907) on dense adjacency matrices."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(8, 32), nn.Linear(32, 32), nn.Linear(32, 3)

    def forward(self, features: Tensor, adjacency: Tensor) -> Tensor:
        edges = adjacency.to(features.dtype)
        normed = edges / edges.sum(-1, keepdim=True).clamp(min=1)
        x = functional.relu(normed @ self.first(features))
        x = functional.relu(torch.bmm(normed, self.second(x)))
        y: Tensor = self.head(x.mean(1))
        return y


class ScatterGraphNet(nn.Module):
    """Message passing over an edge list (GraphSAGE's mean: Hamilton et al. 2017, arXiv:1706.02216)."""

    def __init__(self) -> None:
        super().__init__()
        self.own, self.message = nn.Linear(8, 32), nn.Linear(8, 32)
        self.head = nn.Linear(32, 3)

    def forward(self, features: Tensor, edges: Tensor) -> Tensor:
        source, target = edges[0], edges[1]
        messages = self.message(features).index_select(0, source)
        summed = torch.zeros_like(self.own(features)).index_add(0, target, messages)
        degree = torch.zeros_like(features[:, :1]).index_add(0, target, torch.ones_like(messages[:, :1]))
        y: Tensor = self.head(functional.relu(self.own(features) + summed / degree.clamp(min=1)))
        return y


class DcganGenerator(nn.Module):
    """DCGAN's generator (Radford et al. 2016, arXiv:1511.06434), 32 x 32 images."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        plan = ((64, 4 * width, 1, 0), (4 * width, 2 * width, 2, 1), (2 * width, width, 2, 1))
        layers: list[nn.Module] = []
        for inputs, outputs, stride, padding in plan:
            layers += [nn.ConvTranspose2d(inputs, outputs, 4, stride, padding, bias=False)]
            layers += [nn.BatchNorm2d(outputs), nn.ReLU(True)]
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(width, 3, 4, 2, 1, bias=False), nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        y: Tensor = self.layers(z[:, :, None, None])
        return y


class DuelingDqn(nn.Module):
    """A deep Q network (Mnih et al. 2015) with dueling heads (Wang et al. 2016, arXiv:1511.06581)."""

    def __init__(self, actions: int = 6) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(4, 16, 8, 4), nn.ReLU(), nn.Conv2d(16, 32, 4, 2), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU()
        )
        self.value = nn.Sequential(nn.Linear(32 * 7 * 7, 64), nn.ReLU(), nn.Linear(64, 1))
        self.advantage = nn.Sequential(nn.Linear(32 * 7 * 7, 64), nn.ReLU(), nn.Linear(64, actions))

    def forward(self, frames: Tensor) -> Tensor:
        x = self.conv(frames).flatten(1)
        advantage = self.advantage(x)
        y: Tensor = self.value(x) + advantage - advantage.mean(1, keepdim=True)
        return y
