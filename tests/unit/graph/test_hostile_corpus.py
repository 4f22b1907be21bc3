"""What fuzzing kept (`benchmarks/fuzz_format.py`): each file is read and written again in equal bytes, or refused."""

from __future__ import annotations

from random import Random

import pytest

from benchmarks.fuzzing.child import read_folder
from benchmarks.fuzzing.mutations import mutated
from benchmarks.fuzzing.parsers import ARCHIVE, CORPUS, GRAPH, TENSORS, Files, accepts, read_archive, read_files
from tests.unit.graph.crafted import stored

FOLDERS = sorted(CORPUS.iterdir())


def taken(name: str) -> bool:
    files = read_folder(CORPUS / name)
    return accepts(read_archive if ARCHIVE in files else read_files, files)


@pytest.mark.parametrize("name", [folder.name for folder in FOLDERS])
def test_nothing_but_a_refusal_comes_of_it(name: str) -> None:
    assert taken(name) in (True, False)


def test_the_corpus_holds_both_what_is_taken_and_what_is_refused() -> None:
    assert {taken(folder.name) for folder in FOLDERS} == {True, False}


@pytest.mark.parametrize("parser", [GRAPH, TENSORS, "model"])
def test_freshly_changed_files_are_taken_or_refused(parser: str) -> None:
    random = Random(parser)
    seeds: list[Files] = [{GRAPH: s.graph_json, TENSORS: s.tensors} for s in map(stored, ("mlp", "tied", "quantized"))]
    for _ in range(60):
        accepts(read_files, mutated(random.choice(seeds), random.choice(seeds), parser, random))
