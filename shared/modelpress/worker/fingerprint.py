"""What a machine and its software are, as far as they decide bits or speed. No host names, no paths."""

from __future__ import annotations

import functools
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType
from typing import Any

from modelpress.artifacts.digest import Digest, canonical_json, digest_of
from modelpress.config.settings import usable_cores

_PACKAGES = ("modelpress", "numpy", "onnx", "onnxruntime", "torch")
_CPUINFO = Path("/proc/cpuinfo")


@functools.cache
def versions() -> Mapping[str, str]:
    """Versions of Python and of what computes, read from their metadata: nothing is imported."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return MappingProxyType(found)


def machine() -> dict[str, Any]:
    """The processor as the operating system names it: model, cores, instruction set extensions."""
    fields = _cpuinfo()
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "cpu": fields.get("model name") or platform.processor() or "unknown",
        "cores": usable_cores(),
        "extensions": sorted((fields.get("flags") or fields.get("Features") or "").split()),
    }


@functools.cache
def target_fingerprint() -> Digest:
    """Names the target of a measurement: equal where machine and runtimes are."""
    return digest_of(canonical_json({"machine": machine(), "versions": dict(versions())}))


def provenance(threads: int) -> dict[str, Any]:
    """What a run records of where it ran; what makes its digests comparable."""
    facts = machine()
    del facts["extensions"]
    return {"versions": dict(versions()), "machine": facts, "threads": threads, "target": target_fingerprint()}


def _cpuinfo() -> dict[str, str]:
    """The first processor's fields, empty where the system has no such file."""
    try:
        text = _CPUINFO.read_text()
    except OSError:
        return {}
    lines = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}
