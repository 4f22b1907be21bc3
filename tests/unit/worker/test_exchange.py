from __future__ import annotations

from typing import Any

import pytest
import torch

from modelpress.artifacts.memory import MemoryStore
from modelpress.artifacts.package import Package
from modelpress.catalogue import Form, Kind
from modelpress.errors import StepError
from modelpress.graph.export import export
from modelpress.testing.blobs import BlobNet, blobs
from modelpress.worker import exchange


def test_models_come_back_as_models() -> None:
    store = MemoryStore()
    model = export(BlobNet(width=4), torch.zeros(2, 1, 8, 8))
    loaded = exchange.load(store, exchange.save(store, Kind.MODEL, model))
    (example,) = model.examples()
    assert torch.equal(loaded.module.eval()(example), model.module.eval()(example))


def test_datasets_come_back_as_datasets() -> None:
    store = MemoryStore()
    data = blobs(train=8, evaluation=4)
    loaded = exchange.load(store, exchange.save(store, Kind.DATASET, data))
    assert torch.equal(loaded.split("train").inputs, data.split("train").inputs)


def test_packages_and_reports_come_back() -> None:
    store = MemoryStore()
    package = Package("onnx", Form.DENSE, b"bytes", {"opset": 20})
    digests = exchange.save_all(
        store, {"package": Kind.PACKAGE, "report": Kind.REPORT}, {"report": {"x": 1}, "package": package}
    )
    assert list(digests) == ["package", "report"]
    assert [exchange.load(store, digest) for digest in digests.values()] == [package, {"x": 1}]


def test_outputs_must_be_those_that_are_described() -> None:
    with pytest.raises(StepError, match=r"returned \['a'\], its description promises \['report'\]"):
        exchange.save_all(MemoryStore(), {"report": Kind.REPORT}, {"a": {}})


@pytest.mark.parametrize("returned", [None, [1]])
def test_outputs_must_have_names(returned: Any) -> None:
    with pytest.raises(StepError, match=r"returned a (NoneType|list), not its outputs \['report'\] by name"):
        exchange.save_all(MemoryStore(), {"report": Kind.REPORT}, returned)
