"""Broken and hostile ``.pt2`` archives: container and tensors. Each is a clear ModelFormatError, none is unpickled."""

from __future__ import annotations

import copy
import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from modelpress.graph.pt2.reader import read_pt2
from tests.unit.graph.pt2.archives import (
    MODEL,
    SAMPLES,
    WEIGHTS,
    changed,
    edited,
    entries,
    exported,
    packed,
    refused,
    sample,
)

Change = Callable[[Any], object]

ARCHIVE = sample()
CODE = "__import__('os').system('touch /tmp/owned')"


class Bomb:
    """What a pickle does when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_the_sample_inputs_are_never_unpickled(tmp_path: Path) -> None:
    bomb = pickle.dumps(Bomb(tmp_path / "owned"))
    model = read_pt2(packed({**entries(ARCHIVE), SAMPLES: bomb}))
    assert model.inputs[0].name == "x"
    assert not (tmp_path / "owned").exists()


# --- the container


def compressed_again() -> bytes:
    return packed(entries(ARCHIVE), compression=zipfile.ZIP_DEFLATED)


def patched(old: bytes, new: bytes) -> bytes:
    assert old in ARCHIVE
    return ARCHIVE.replace(old, new)


def with_entry(name: str, data: bytes = b"") -> bytes:
    buffer = io.BytesIO(ARCHIVE)
    folder = zipfile.ZipFile(buffer).namelist()[0].partition("/")[0]
    with zipfile.ZipFile(buffer, "a") as file:
        file.writestr(name.replace("FOLDER", folder), data)
    return buffer.getvalue()


def overlapping() -> bytes:
    """Two entries of the directory that lie at one place: what quoted zip bombs are made of."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, data in entries(ARCHIVE).items():
            file.writestr(f"m/{name}", data)
        twin = zipfile.ZipInfo("m/twin")
        first = file.infolist()[0]
        twin.header_offset, twin.CRC, twin.file_size, twin.compress_size = (
            0,
            first.CRC,
            first.file_size,
            first.file_size,
        )
        twin.external_attr = twin.volume = 0
        file.filelist.append(twin)
    return buffer.getvalue()


def saved_by_torch_save() -> bytes:
    buffer = io.BytesIO()
    torch.save(nn.Linear(2, 2).state_dict(), buffer)
    return buffer.getvalue()


CONTAINERS: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "does not begin as a zip"),
    "no zip": (lambda: b"ELF" * 100, "does not begin as a zip"),
    "a pickle": (lambda: pickle.dumps({"a": 1}), "is a pickle"),
    "torch.save": (saved_by_torch_save, "pickled module"),
    "an empty zip": (lambda: b"PK\x05\x06" + bytes(18), "does not begin as a zip"),
    "only two ends": (lambda: b"PK\x03\x04" + b"PK\x05\x06" + bytes(18), "archive_format|no zip"),
    "truncated": (lambda: ARCHIVE[:-10], "truncated"),
    "truncated in the middle": (lambda: ARCHIVE[: len(ARCHIVE) // 2], "truncated"),
    "trailing bytes": (lambda: ARCHIVE + b"junk", "after the archive's end"),
    "leading bytes": (lambda: b"junk" + ARCHIVE, "does not begin as a zip"),
    "compressed": (compressed_again, "compressed"),
    "a path out": (lambda: with_entry("FOLDER/../../etc/passwd"), "no name of the layout"),
    "an absolute path": (lambda: with_entry("/etc/passwd"), "no name of the layout"),
    "a backslash": (lambda: with_entry("FOLDER/a\\b"), "no name of the layout"),
    "another folder": (lambda: with_entry("other/x"), "no name of the layout"),
    "overlapping entries": (overlapping, "overlaps"),
    "big-endian": (lambda: changed(ARCHIVE, byteorder=b"big"), "byteorder"),
    "no byte order": (lambda: changed(ARCHIVE, byteorder=None), "byteorder"),
    "another format": (lambda: changed(ARCHIVE, archive_format=b"pte"), "archive_format"),
    "another version": (lambda: changed(ARCHIVE, archive_version=b"7"), "archive_version"),
    "an older layout": (lambda: packed({"serialized_exported_program.json": b"{}"}), "older layout"),
    "compiled code": (lambda: packed({"data/aotinductor/model/x.so": b""}), "AOTInductor"),
    "no model": (lambda: packed({k: v for k, v in entries(ARCHIVE).items() if k != MODEL}), r"the models \[\]"),
    "two models": (lambda: packed({**entries(ARCHIVE), "models/b.json": b"{}"}), "one is read"),
    "pickled weights of an older layout": (
        lambda: packed({**{k: v for k, v in entries(ARCHIVE).items() if k != WEIGHTS}, "data/weights/model.pt": b"x"}),
        "weights are a pickle, .* save it again",
    ),
    "no weights": (lambda: packed({k: v for k, v in entries(ARCHIVE).items() if k != WEIGHTS}), "no entry"),
    "a flipped bit": (lambda: patched(entries(ARCHIVE)["data/weights/weight_0"], bytes(144)), "CRC"),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_containers(name: str) -> None:
    make, message = CONTAINERS[name]
    refused(make(), message)


def test_two_entries_of_one_name() -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        twice = with_entry("FOLDER/byteorder", b"little")
    refused(twice, "two entries")


# --- JSON


def json_of(text: bytes) -> bytes:
    return packed({**entries(ARCHIVE), MODEL: text})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[" * 100_000, "nested too deeply|no JSON"),
        (b"[" * 70 + b"]" * 70, "nested deeper"),
        (b'{"a": 1, "a": 2}', "duplicate key"),
        (b'{"a": 1' + b"0" * 5000 + b"}", "digits"),
        (b'{"a": NaN}', "bare constant"),
        (b'{"a": 1e999}', "not finite"),
        (b"[]", "valid dictionary"),
        (b"{}", "graph_module"),
    ],
)
def test_json(text: bytes, message: str) -> None:
    refused(json_of(text), message)


# --- tensors


def meta(graph: Any, name: str = "conv.weight") -> Any:
    return graph["config"][name]["tensor_meta"]


TENSORS: dict[str, tuple[Change, str]] = {
    "sizes beyond the storage": (lambda c: meta(c).update(sizes=[{"as_int": 4}] * 4), "leave the 144 bytes"),
    "strides beyond the storage": (lambda c: meta(c)["strides"][0].update(as_int=2**40), "leave the 144 bytes"),
    "an offset beyond the storage": (lambda c: meta(c).update(storage_offset={"as_int": 1}), "leave the 144 bytes"),
    "a negative offset": (lambda c: meta(c).update(storage_offset={"as_int": -1}), "no size"),
    "a negative stride": (lambda c: meta(c)["strides"][0].update(as_int=-1), "no size"),
    "a negative size": (lambda c: meta(c)["sizes"][0].update(as_int=-4), "no size"),
    "a symbolic size": (lambda c: meta(c)["sizes"].insert(0, {"as_expr": {"expr_str": CODE}}), "no size"),
    "a truth value for a size": (lambda c: meta(c)["sizes"][0].update(as_int=True), "no size"),
    "an expanded tensor of 2^40 elements": (
        lambda c: meta(c).update(sizes=[{"as_int": 2**20}] * 2, strides=[{"as_int": 0}] * 2),
        "larger than the archive",
    ),
    "a size of 2^62": (lambda c: meta(c).update(sizes=[{"as_int": 2**62}], strides=[{"as_int": 0}]), "no tensor's"),
    "a huge tensor of no elements": (
        lambda c: meta(c).update(sizes=[{"as_int": n} for n in (0, 2**30, 2**30)], strides=[{"as_int": 0}] * 3),
        "no elements",
    ),
    "fewer strides than sizes": (lambda c: meta(c)["strides"].pop(), "no tensor's"),
    "a rank of 100": (lambda c: meta(c).update(sizes=[{"as_int": 1}] * 100), "16 items"),
    "an unknown dtype": (lambda c: meta(c).update(dtype=99), "dtype 99"),
    "a complex dtype": (lambda c: meta(c).update(dtype=10), "dtype 10"),
    "a sparse layout": (lambda c: meta(c).update(layout=1), "layout 1"),
    "a wider dtype": (lambda c: meta(c).update(dtype=8), "leave the 144 bytes"),
    "a parameter of integers": (lambda c: meta(c).update(dtype=4), "cannot be trained"),
    "a pickled weight": (lambda c: c["config"]["conv.weight"].update(use_pickle=True), "stored as a pickle"),
    "an object": (lambda c: c["config"]["conv.weight"].update(tensor_meta=None), "stored as a pickle"),
    "a path out of the folder": (
        lambda c: c["config"]["conv.weight"].update(path_name="../sample_inputs/model.pt"),
        "no entry",
    ),
    "an entry that is missing": (lambda c: c["config"]["conv.weight"].update(path_name="weight_99"), "no entry"),
    "a number for a name": (lambda c: c["config"]["conv.weight"].update(path_name=3), "valid string"),
    "code in a path": (lambda c: c["config"].update({"a" * 300: c["config"]["conv.weight"]}), "path"),
    "a tensor under a tensor": (
        lambda c: c["config"].update({"conv.weight.x": c["config"]["conv.bias"]}),
        "stands where",
    ),
    "two paths that clean to one": (
        lambda c: c["config"].update({"conv.a-b": c["config"]["conv.bias"], "conv.a_b_": c["config"]["conv.bias"]}),
        "stands where",
    ),
}


@pytest.mark.parametrize("name", TENSORS)
def test_tensors(name: str) -> None:
    change, message = TENSORS[name]
    refused(edited(ARCHIVE, WEIGHTS, change), message)


def test_many_views_of_one_storage_cannot_outgrow_the_archive() -> None:
    def multiply(config: Any) -> None:
        for i in range(1, 30):
            entry = copy.deepcopy(config["config"]["weight"])
            entry["tensor_meta"]["strides"][0]["as_int"] -= i
            config["config"][f"view_{i}"] = entry

    wide = exported(nn.Linear(64, 1024), (torch.rand(2, 64),))
    refused(edited(wide, WEIGHTS, multiply), "larger than the archive")
