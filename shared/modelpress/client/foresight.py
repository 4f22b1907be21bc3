"""What would come from the cache if a plan were run now."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from modelpress.artifacts.digest import Digest
from modelpress.artifacts.manifest import get_manifest
from modelpress.artifacts.refs import resolve
from modelpress.artifacts.store import Store
from modelpress.errors import NotFoundError, StoreError
from modelpress.pipeline.foresee import Foresight, foreseen
from modelpress.pipeline.plan import Plan
from modelpress.worker.results import StepResult


def foresee(store: Store, plan: Plan, tenant: str, threads: int) -> dict[str, Foresight]:
    """By step, as `modelpress.pipeline.foresee.foreseen`; nothing of the store is changed.

    An input that names nothing (yet) is unknown, and so is what depends on it.
    """
    return foreseen(plan, known_inputs(store, plan), tenant, threads, lambda key: whole_outputs(store, key))


def known_inputs(store: Store, plan: Plan) -> dict[str, Digest]:
    """Digests of the plan's inputs, as far as they are given and stand for something."""
    found: dict[str, Digest] = {}
    for name, ref in plan.inputs.items():
        if ref:
            try:
                found[name] = resolve(store, ref)
            except NotFoundError:
                continue
    return found


def whole_outputs(store: Store, key: str) -> Mapping[str, str] | None:
    """Outputs of the result ``key``; None where there is none, or what it promises is not all there."""
    data = store.results.get(key)
    if data is None:
        return None
    try:
        outputs = StepResult.model_validate_json(data).outputs
    except ValidationError:
        return None
    return outputs if all(_is_whole(store, Digest(digest)) for digest in outputs.values()) else None


def _is_whole(store: Store, digest: Digest) -> bool:
    try:
        layers = get_manifest(store, digest).layers
    except (NotFoundError, StoreError):
        return False
    return all(store.blobs.size(Digest(layer.digest)) == layer.size_bytes for layer in layers)
