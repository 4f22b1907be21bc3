"""The deployable file as an artifact: bytes of a format, and what is true of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modelpress.artifacts.digest import Digest
from modelpress.artifacts.manifest import get_manifest, put_artifact, read_layer
from modelpress.artifacts.store import Store
from modelpress.catalogue import Form, Kind
from modelpress.errors import InputError


@dataclass(frozen=True)
class Package:
    """A file to deploy. ``format`` is ``onnx`` so far; ``facts`` say precision, operators, what was checked."""

    format: str
    form: Form
    data: bytes
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        return len(self.data)


def put_package(store: Store, package: Package) -> Digest:
    config = {"format": package.format, "form": str(package.form), "facts": dict(package.facts)}
    return put_artifact(store, Kind.PACKAGE, config, {f"package.{package.format}": package.data})


def get_package(store: Store, digest: Digest) -> Package:
    """Read a package.

    Raises:
        InputError: ``digest`` names another kind of artifact.
    """
    manifest = get_manifest(store, digest)
    if manifest.kind is not Kind.PACKAGE:
        raise InputError(f"{digest} is a {manifest.kind}, not a package")
    name = str(manifest.config["format"])
    data = read_layer(store, manifest, f"package.{name}")
    return Package(name, Form(manifest.config["form"]), data, manifest.config["facts"])
