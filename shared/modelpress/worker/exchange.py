"""Artifacts in and out of a kernel, by kind. Each kind's code is imported when it is first met: some need torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from modelpress.artifacts.digest import Digest
from modelpress.artifacts.manifest import get_manifest
from modelpress.artifacts.store import Store
from modelpress.catalogue import Kind
from modelpress.errors import StepError


def load(store: Store, digest: Digest) -> Any:
    """The artifact as kernels know it: a `Model`, `Dataset`, `Package` or mapping, by its manifest's kind.

    Raises:
        NotFoundError, CorruptBlobError: a blob of it is gone or corrupt.
    """
    return _LOADERS[get_manifest(store, digest).kind](store, digest)


def save(store: Store, kind: Kind, value: Any) -> Digest:
    """Write what a kernel returned.

    Raises:
        StoreFullError: no space is left.
    """
    return _SAVERS[kind](store, value)


def save_all(store: Store, kinds: Mapping[str, Kind], values: Mapping[str, Any]) -> dict[str, Digest]:
    """Write a kernel's outputs, by name.

    Raises:
        StepError: their names are not those that the method describes, or ``values`` has no names.
    """
    if not isinstance(values, Mapping):
        raise StepError(f"the kernel returned a {type(values).__name__}, not its outputs {sorted(kinds)} by name")
    if set(values) != set(kinds):
        raise StepError(f"the kernel returned {sorted(values)}, its description promises {sorted(kinds)}")
    return {name: save(store, kind, values[name]) for name, kind in kinds.items()}


def _load_model(store: Store, digest: Digest) -> Any:
    from modelpress.graph.storage import get_model

    return get_model(store, digest)


def _save_model(store: Store, value: Any) -> Digest:
    from modelpress.graph.storage import put_model

    return put_model(store, value)


def _load_dataset(store: Store, digest: Digest) -> Any:
    from modelpress.data.storage import get_dataset

    return get_dataset(store, digest)


def _save_dataset(store: Store, value: Any) -> Digest:
    from modelpress.data.storage import put_dataset

    return put_dataset(store, value)


def _load_package(store: Store, digest: Digest) -> Any:
    from modelpress.artifacts.package import get_package

    return get_package(store, digest)


def _save_package(store: Store, value: Any) -> Digest:
    from modelpress.artifacts.package import put_package

    return put_package(store, value)


def _load_report(store: Store, digest: Digest) -> Any:
    from modelpress.artifacts.report import get_report

    return get_report(store, digest)


def _save_report(store: Store, value: Any) -> Digest:
    from modelpress.artifacts.report import put_report

    return put_report(store, value)


_LOADERS: Mapping[Kind, Callable[[Store, Digest], Any]] = {
    Kind.MODEL: _load_model,
    Kind.DATASET: _load_dataset,
    Kind.PACKAGE: _load_package,
    Kind.REPORT: _load_report,
}
_SAVERS: Mapping[Kind, Callable[[Store, Any], Digest]] = {
    Kind.MODEL: _save_model,
    Kind.DATASET: _save_dataset,
    Kind.PACKAGE: _save_package,
    Kind.REPORT: _save_report,
}
