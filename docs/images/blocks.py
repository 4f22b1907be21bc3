"""The two networks that docs/graph.md explains; it shows this code word by word."""

from torch import Tensor, nn
from torch.nn import functional


class TinyResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.conv1 = nn.Conv2d(4, 6, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(6, 4, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.norm1(self.conv1(x))
        y = functional.relu(y, inplace=True)
        y = self.norm2(self.conv2(y))
        x = functional.relu(x + y)
        scores: Tensor = self.head(x.mean((2, 3)))
        return scores


class TinyTransformer(nn.Module):
    """2 heads of size 4 on a width of 8; the first token's class."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(5, 8)
        self.norm = nn.LayerNorm(8)
        self.qkv = nn.Linear(8, 24)
        self.proj = nn.Linear(8, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        qkv = self.qkv(self.norm(x)).chunk(3, -1)
        q, k, v = (t.unflatten(-1, (2, 4)).transpose(1, 2) for t in qkv)
        y = functional.scaled_dot_product_attention(q, k, v)
        x = x + self.proj(y.transpose(1, 2).flatten(2))
        scores: Tensor = self.head(x[:, 0])
        return scores
