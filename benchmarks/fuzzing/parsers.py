"""What is fuzzed, and what each parser owes to any bytes: a model that saves and loads again, or a clear refusal."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmarks.harness import ROOT
from modelpress.errors import ModelFormatError
from modelpress.graph.model import Model
from modelpress.graph.pt2.reader import read_pt2
from modelpress.graph.serialise import load, save

Files = dict[str, bytes]
"""Of one model by name: ``graph.json`` and ``tensors.safetensors``, or ``model.pt2``."""

CORPUS = ROOT / "tests" / "fixtures" / "format" / "corpus"
"""A folder of files for each finding, and for a choice of what is refused."""
GRAPH, TENSORS, ARCHIVE = "graph.json", "tensors.safetensors", "model.pt2"


def read_files(files: Mapping[str, bytes]) -> Model:
    return load(files[GRAPH], files[TENSORS])


def read_archive(files: Mapping[str, bytes]) -> Model:
    return read_pt2(files[ARCHIVE])


def accepts(read: Callable[[Mapping[str, bytes]], Model], files: Mapping[str, bytes]) -> bool:
    """Whether ``read`` takes ``files``; anything that it raises but a refusal is for the caller to count.

    Raises:
        AssertionError: a model was read whose bytes are not a fixed point of writing and reading.
    """
    try:
        model = read(files)
    except ModelFormatError:
        return False
    saved = save(model)
    if save(load(saved.graph_json, saved.tensors)) != saved:
        raise AssertionError("what was read is written in other bytes the second time")
    return True
