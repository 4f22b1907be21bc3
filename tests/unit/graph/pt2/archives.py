"""``.pt2`` archives for tests: exported, and put together again with something else in them."""

from __future__ import annotations

import copy
import io
import json
import warnings
import zipfile
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

from modelpress.errors import ModelFormatError
from modelpress.graph.pt2.reader import read_pt2

MODEL = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"
CONSTANTS = "data/constants/model_constants_config.json"
SAMPLES = "data/sample_inputs/model.pt"


def exported(
    net: nn.Module, inputs: tuple[Tensor, ...], dynamic: Mapping[int, Mapping[int, Any]] | None = None
) -> bytes:
    """``net`` as `torch.export.save` writes it; by default dimension 0 of every input is dynamic.

    Args:
        dynamic: input's number -> dimension -> its ``Dim``.
    """
    chosen = {i: {0: Dim.DYNAMIC} for i in range(len(inputs))} if dynamic is None else dynamic
    shapes = tuple(dict(chosen.get(i, {})) for i in range(len(inputs)))
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "No complete tensor found")  # torch's word for a part of a storage
        torch.export.save(torch.export.export(net, inputs, dynamic_shapes=shapes), buffer)
    return buffer.getvalue()


def entries(archive: bytes) -> dict[str, bytes]:
    """Entries by name under the archive's folder."""
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        return {name.partition("/")[2]: file.read(name) for name in file.namelist()}


def packed(found: Mapping[str, bytes], folder: str = "m", compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, data in found.items():
            file.writestr(f"{folder}/{name}", data)
    return buffer.getvalue()


def changed(archive: bytes, **changes: bytes | None) -> bytes:
    """With entries replaced, added or (None) left out; ``__`` stands for ``/`` in their names."""
    new = {name.replace("__", "/"): data for name, data in changes.items()}
    kept = {name: data for name, data in entries(archive).items() if name not in new}
    return packed({**kept, **{name: data for name, data in new.items() if data is not None}})


def edited(archive: bytes, entry: str, edit: Callable[[Any], object]) -> bytes:
    """With ``edit`` applied to the JSON of ``entry``."""
    found = entries(archive)
    value = copy.deepcopy(json.loads(found[entry]))
    edit(value)
    return packed({**found, entry: json.dumps(value).encode()})


class Net(nn.Module):
    """A few of everything that an archive holds: leaves, a list of outputs, arithmetic on sizes, a nested output."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.drop = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.1)
        self.head = nn.Linear(4 * 36, 3)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.drop(torch.relu(self.norm(self.conv(x)))).view(x.shape[0], -1)
        first, second = torch.chunk(self.head(x), 2, dim=1)
        return {"first": first, "second": second}


@cache
def sample() -> bytes:
    """A small archive to change."""
    return exported(Net().eval(), (torch.rand(2, 1, 8, 8),))


def refused(archive: bytes, message: str) -> None:
    with pytest.raises(ModelFormatError, match=message):
        read_pt2(archive)
