"""What an x-ray found stays with the target, and plans read it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelpress.artifacts.digest import Digest
from modelpress.artifacts.manifest import get_manifest
from modelpress.artifacts.memory import MemoryStore
from modelpress.artifacts.report import get_report, put_report
from modelpress.catalogue import load_catalogue
from modelpress.errors import InputError
from modelpress.graph.storage import put_model
from modelpress.pipeline.validate import validate
from modelpress.recipes import load_recipe
from modelpress.xray.findings import Candidate, Latency
from modelpress.xray.targets import TAG, Known, advice, check_target, known, profile, remember
from tests.unit.xray.nets import conv_net
from tests.unit.xray.samples import resnet

A, B = Digest("sha256:" + "a" * 64), Digest("sha256:" + "b" * 64)
CATALOGUE = load_catalogue()
PLAN = validate(load_recipe("slim-distill-int8").spec, CATALOGUE, {"model": "m", "data": "d"}, {}, seed=None)


def candidate(width: float, int8: bool, ratio: float) -> Candidate:
    return Candidate("", width, int8, 1, 1.0, 1, 1, (Latency(1, 1.0, ratio, ratio, ratio, 0.0),))


def told(int8: float, half: float) -> list[str]:
    store = MemoryStore()
    model = put_model(store, conv_net())
    found = replace(resnet(), candidates=(candidate(1, True, int8), candidate(0.5, False, half)))
    (graph,) = (layer.digest for layer in get_manifest(store, model).layers if layer.role == "graph.json")
    remember(store, Digest(graph), found)
    return advice(store, PLAN, model, CATALOGUE)


def test_steps_that_do_not_pay_are_named() -> None:
    assert told(2.0, 2.0) == []
    assert [line.partition(":")[0] for line in told(1.04, 2.0)] == ["int8", "plain-int8"]
    assert "1.04× at batch 1" in told(1.04, 2.0)[0]
    assert [line.partition(":")[0] for line in told(2.0, 0.9)] == ["slim"]


def test_a_model_that_was_not_x_rayed_gets_no_advice() -> None:
    store = MemoryStore()
    model = put_model(store, conv_net())
    assert known(store, model) is None
    assert advice(store, PLAN, model, CATALOGUE) == []


def test_what_is_known_is_what_was_found() -> None:
    store = MemoryStore()
    model = put_model(store, conv_net())
    (graph,) = (layer.digest for layer in get_manifest(store, model).layers if layer.role == "graph.json")
    remember(store, Digest(graph), resnet())
    assert known(store, model) == Known(resnet().machine.threads, resnet().candidates)


def test_findings_add_up_and_equal_ones_change_nothing() -> None:
    store = MemoryStore()
    first = remember(store, A, resnet())
    assert remember(store, A, resnet()) == first
    remember(store, B, resnet())
    assert len(profile(store)["xrays"]) == 2


def test_a_profile_of_another_machine_is_left_behind() -> None:
    store = MemoryStore()
    other = put_report(store, {"fingerprint": "sha256:" + "0" * 64, "xrays": {"a": {}}})
    assert store.tags.swap(TAG, None, other)
    assert profile(store)["xrays"] == {}
    digest = remember(store, B, resnet())
    assert list(get_report(store, digest)["xrays"]) == [B]


def test_other_targets_have_no_worker() -> None:
    check_target("local")
    with pytest.raises(InputError, match="--target phone: no worker"):
        check_target("phone")
