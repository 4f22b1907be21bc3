"""Artifacts as a program holds them: a digest in a store, loaded or saved when asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from modelpress.artifacts.digest import Digest
from modelpress.artifacts.manifest import Manifest, get_manifest
from modelpress.artifacts.store import Store
from modelpress.catalogue import Kind
from modelpress.client.export import formats_of, save
from modelpress.errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from modelpress.artifacts.package import Package
    from modelpress.data.dataset import Dataset
    from modelpress.report.layers import Layer


@dataclass(frozen=True)
class Ref:
    """An artifact in ``store``. ``name`` is what it was pushed or found under, if any: a tag, or ``RUN.OUTPUT``."""

    kind: ClassVar[Kind | None] = None

    store: Store = field(repr=False, compare=False)
    digest: Digest
    name: str = field(default="", compare=False)

    def manifest(self) -> Manifest:
        """Kind, configuration and layers.

        Raises:
            NotFoundError, CorruptBlobError: it is gone, or was damaged.
        """
        return get_manifest(self.store, self.digest)

    def save(self, path: str | Path, format: str | None = None) -> Path:
        """Write it to ``path`` in ``format`` (default: what the kind is kept in); return where.

        Raises:
            InputError: the kind has no such format, or ``path`` cannot be written.
        """
        manifest = self.manifest()
        return save(self.store, self.digest, manifest, Path(path), format or formats_of(manifest)[0])

    def __str__(self) -> str:
        return self.digest


class ModelRef(Ref):
    """A model."""

    kind = Kind.MODEL

    def load(self) -> nn.Module:
        """A ``torch.nn.Module`` in eval mode, ready for use; none of the user's own code is needed."""
        from modelpress.graph.storage import get_model

        return get_model(self.store, self.digest).module.eval()

    def layers(self) -> tuple[Layer, ...]:
        """Its layers with shape, bits, sparsity, parameters, MACs and bytes; torch is not needed."""
        from modelpress.client.contents import model_layers

        return model_layers(self.store, self.manifest())


class DataRef(Ref):
    """A dataset."""

    kind = Kind.DATASET

    def load(self) -> Dataset:
        from modelpress.data.storage import get_dataset

        return get_dataset(self.store, self.digest)


class PackageRef(Ref):
    """A deployable file."""

    kind = Kind.PACKAGE

    def load(self) -> Package:
        from modelpress.artifacts.package import get_package

        return get_package(self.store, self.digest)


class ReportRef(Ref):
    """A step's own report, as JSON files."""

    kind = Kind.REPORT


_CLASSES: dict[Kind, type[Ref]] = {
    Kind.MODEL: ModelRef,
    Kind.DATASET: DataRef,
    Kind.PACKAGE: PackageRef,
    Kind.REPORT: ReportRef,
}


def ref_of(store: Store, digest: Digest, name: str = "") -> Ref:
    """``digest`` as the class of its kind.

    Raises:
        NotFoundError, CorruptBlobError: as `get_manifest`.
    """
    return _CLASSES[get_manifest(store, digest).kind](store, digest, name)


def expect(ref: Ref, kind: Kind) -> Ref:
    """``ref`` itself.

    Raises:
        InputError: it is of another kind.
    """
    if ref.kind is not kind:
        raise InputError(f"'{ref.name or ref.digest}' is a {ref.kind}, not a {kind}")
    return ref
