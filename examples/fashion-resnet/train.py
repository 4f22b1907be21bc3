"""Train the small ResNet that the demo compresses, and write its weights.

    python examples/fashion-resnet/train.py [--epochs 50] [--seed 0] [--out weights.safetensors]

With the defaults this is how ``shared/modelpress/demo/weights.safetensors`` was made.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from modelpress.config.settings import load_settings
from modelpress.data.importers import import_data
from modelpress.demo.net import build
from modelpress.demo.train import EPOCHS, train
from modelpress.job import LocalJob
from modelpress.training.evaluate import top1


class PrintingJob(LocalJob):
    """Prints finished epochs."""

    def progress(self, stage: str, done: float, total: float, **metrics: float) -> None:
        if done == int(done):
            figures = "  ".join(f"{name} {value:.3f}" for name, value in metrics.items())
            print(f"{stage} {done:.0f}/{total:.0f}  {figures}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("weights.safetensors"))
    arguments = parser.parse_args()
    threads = load_settings().threads
    torch.set_num_threads(threads)
    data = import_data("fashion-mnist")
    weights, _ = train(data, PrintingJob(arguments.seed, threads), arguments.epochs)
    arguments.out.write_bytes(weights)
    print(f"{arguments.out}: {len(weights)} bytes, test top-1 {top1(build(weights), data, 'test'):.2f} %")


if __name__ == "__main__":
    main()
