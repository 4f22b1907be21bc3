"""Draw the pictures of docs/graph.md: ``python -m docs.images.make [folder]``.

Names of axes, dimensions, nodes and sizes come from exporting, lifting and analysing `blocks`; equal code draws equal
bytes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from docs.images.blocks import TinyResNet, TinyTransformer
from docs.images.flow import Row, flow
from docs.images.grids import removal
from docs.images.lifting import lifting
from docs.images.product import anatomy
from modelpress.graph.export import export

RESIDUAL_CODE = (
    "x = self.stem(x)",
    "self.conv1(x)",
    "y = self.norm1(…)",
    "y = relu(y, inplace=True)",
    "self.conv2(y)",
    "y = self.norm2(…)",
    "x + y",
    "x = relu(…)",
    "x.mean((2, 3))",
    "self.head(…)",
)
RESIDUAL = tuple(
    map(
        Row,
        (
            "x",
            "stem",
            "conv1",
            "norm1",
            "relu_default",
            "conv2",
            "norm2",
            "add_tensor",
            "relu_default_1",
            "mean_dim",
            "head",
        ),
    )
)
ATTENTION = (
    Row("x"),
    Row("embed"),
    Row("norm"),
    Row("qkv"),
    Row("chunk_default", {"q": "getitem", "k": "getitem_1", "v": "getitem_2"}),
    Row(
        "transpose_int", {"q": "transpose_int", "k": "transpose_int_1", "v": "transpose_int_2"}, "unflatten, transpose"
    ),
    Row("attention"),
    Row("flatten_using_ints", label="transpose, flatten"),
    Row("proj"),
    Row("add_tensor"),
    Row("select_int"),
    Row("head"),
)


def pictures() -> dict[str, str]:
    """Text of each SVG file by name."""
    images, tokens = torch.zeros(2, 3, 8, 8), torch.zeros(2, 6, 5)
    residual_net = TinyResNet().eval()
    residual = export(residual_net, images)
    attention = export(TinyTransformer().eval(), tokens, dynamic={"x": {0: "batch", 1: "length"}})
    tied = ("conv1.weight", "norm1.weight", "norm1.running_mean", "conv2.weight")
    return {
        "lifting.svg": lifting(residual_net, images, residual, RESIDUAL_CODE, (0, 6), "A block, exported and lifted"),
        "residual.svg": flow(residual, "The axes of a residual block", RESIDUAL, {"stem": "add_tensor"}),
        "removal.svg": removal(residual, "conv1.out", (1, 4), tied, "Two channels are removed"),
        "product.svg": anatomy(attention, "qkv.weight", ("q", "k", "v"), "What the width of qkv is made of"),
        "attention.svg": flow(attention, "The axes of an attention block", ATTENTION, {"embed": "add_tensor"}),
    }


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for name, text in pictures().items():
        (folder / name).write_text(text, encoding="utf-8")
