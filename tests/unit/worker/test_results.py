from __future__ import annotations

import math

import pytest

from modelpress.artifacts.digest import Digest
from modelpress.artifacts.manifest import get_manifest
from modelpress.artifacts.memory import MemoryStore
from modelpress.artifacts.report import get_report, put_report
from modelpress.artifacts.store import Store
from modelpress.errors import InputError
from modelpress.worker.results import StepResult, accept, corrupt_blobs, discard, find

KEY = "0" * 64


@pytest.fixture
def store() -> Store:
    return MemoryStore()


def result(store: Store, value: int = 1) -> StepResult:
    return StepResult(outputs={"report": put_report(store, {"value": value})}, metrics={"value": float(value)})


def test_the_first_result_is_accepted_and_later_ones_adopt_it(store: Store) -> None:
    first, second = result(store, 1), result(store, 2)
    assert accept(store, KEY, first) == first
    assert accept(store, KEY, second) == first
    assert find(store, KEY) == (first, ())


def test_acceptance_ends_the_checkpoints(store: Store) -> None:
    store.slots.save(KEY, b"half")
    accept(store, KEY, result(store))
    assert store.slots.load(KEY) is None


def test_nothing_is_found_where_nothing_was_accepted(store: Store) -> None:
    assert find(store, KEY) == (None, ())


def test_metrics_that_are_no_numbers_survive(store: Store) -> None:
    made = StepResult(outputs={}, metrics={"a": math.nan, "b": math.inf})
    accepted = accept(store, KEY, made)
    assert math.isnan(accepted.metrics["a"])
    assert accepted.metrics["b"] == math.inf


def test_a_result_with_a_missing_blob_is_discarded(store: Store) -> None:
    made = accept(store, KEY, result(store))
    layer = get_manifest(store, Digest(made.outputs["report"])).layers[0].digest
    store.blobs.discard(Digest(layer))
    assert find(store, KEY) == (None, (layer,))
    assert store.results.get(KEY) is None


def test_a_result_that_is_none_is_discarded(store: Store) -> None:
    store.results.create(KEY, b"[]")
    assert find(store, KEY) == (None, (f"results/{KEY}",))
    assert store.results.get(KEY) is None


def test_unreadable_blobs_are_found_by_reading_and_discarded_with_the_result(store: Store) -> None:
    made = accept(store, KEY, result(store))
    digest = Digest(made.outputs["report"])
    assert corrupt_blobs(store, digest) == ()
    discard(store, KEY, (digest,))
    assert corrupt_blobs(store, digest) == (digest,)
    assert store.results.get(KEY) is None


def test_a_report_comes_back_and_refuses_nan(store: Store) -> None:
    digest = put_report(store, {"b": [1, 2.5], "a": {"ü": None}})
    assert get_report(store, digest) == {"a": {"ü": None}, "b": [1, 2.5]}
    assert digest == put_report(store, {"a": {"ü": None}, "b": [1, 2.5]})
    with pytest.raises(ValueError, match="not JSON compliant"):
        put_report(store, {"a": math.nan})


def test_another_kind_is_no_report(store: Store) -> None:
    from modelpress.artifacts.package import Package, put_package
    from modelpress.catalogue import Form

    digest = put_package(store, Package("onnx", Form.DENSE, b"..."))
    with pytest.raises(InputError, match="is a package, not a report"):
        get_report(store, digest)
