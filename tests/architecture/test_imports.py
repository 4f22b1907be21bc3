"""Imports run one way, and what must be light is light."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import requires
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT / "shared" / "modelpress"
SERVICES = {p.name: next(p.glob("modelpress_*")) for p in (ROOT / "services").iterdir() if p.is_dir()}

# A package of modelpress may import those of lower rank, and of its own.
RANKS = [
    {"errors"},
    {"catalogue", "job"},
    {"artifacts", "config", "measure"},
    {"bus", "constraints", "data", "pipeline", "recipes"},
    {"graph"},
    {"training", "demo"},
    {"engine", "worker"},
    {"report"},
    {"xray"},
    {"client"},
    {"__main__", "cli"},
    {"testing"},
]
RANK = {name: rank for rank, names in enumerate(RANKS) for name in names}


def imports(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, node.lineno


def test_every_package_has_a_rank() -> None:
    found = {p.stem for p in SHARED.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()} - {"__init__"}
    assert found == set(RANK)


def test_modelpress_imports_downwards_only() -> None:
    upwards = []
    for path in SHARED.rglob("*.py"):
        own = path.relative_to(SHARED).parts[0].removesuffix(".py")
        for module, line in imports(path):
            head, _, rest = module.partition(".")
            target = rest.partition(".")[0]
            if head == "modelpress" and target in RANK and own in RANK and RANK[target] > RANK[own]:
                upwards.append(f"{path.relative_to(ROOT)}:{line} imports {module}")
    assert upwards == []


def test_modelpress_knows_no_service() -> None:
    named = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in SHARED.rglob("*.py")
        for module, line in imports(path)
        if module.startswith("modelpress_")
    ]
    assert named == []


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_imports_modelpress_and_itself(service: str) -> None:
    package = SERVICES[service]
    foreign = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in package.rglob("*.py")
        for module, line in imports(path)
        if module.startswith("modelpress_") and module.partition(".")[0] != package.name
    ]
    assert foreign == []


@pytest.mark.parametrize(
    "statement",
    [
        "import modelpress; modelpress.connect",
        "from modelpress.catalogue import load_catalogue; assert load_catalogue().names()",
        "from modelpress.recipes import list_recipes; assert list_recipes()",
        "import modelpress.cli.main",
        "import modelpress.engine.driver",
        "import modelpress.artifacts.filesystem",
    ],
)
def test_torch_is_not_imported_by(statement: str) -> None:
    heavy = "('torch', 'onnx', 'onnxruntime', 'matplotlib')"
    program = f"import sys\n{statement}\nprint([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


DISTRIBUTIONS = {"yaml": "pyyaml", "pydantic_core": "pydantic"}


def test_what_is_imported_is_declared() -> None:
    declared = {re.match(r"[A-Za-z0-9_.-]+", r).group().lower() for r in requires("modelpress") or ()}  # type: ignore[union-attr]
    missing = set()
    for path in [*SHARED.rglob("*.py"), *(p for s in SERVICES.values() for p in s.rglob("*.py"))]:
        for module, _ in imports(path):
            top = module.partition(".")[0]
            known = top in sys.stdlib_module_names or top.startswith("modelpress")
            if not known and DISTRIBUTIONS.get(top, top) not in declared:
                missing.add(f"{top} ({path.relative_to(ROOT)})")
    assert missing == set()
