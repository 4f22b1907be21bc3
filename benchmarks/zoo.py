"""The format's contract over the zoo, and ``docs/scope.md``, the table of what lifts and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.harness import ROOT, Figure, Figures
from modelpress.errors import ModelpressError
from modelpress.graph.axes import analyse
from modelpress.graph.axes.describe import prunable_share
from modelpress.graph.export import export
from modelpress.testing.format import CHECKS, Case
from modelpress.testing.zoo import ZOO
from modelpress.testing.zoo.refused import REFUSED, Refused

SCOPE = ROOT / "docs" / "scope.md"
QUICK = ("lenet-5", "resnet-18", "vit-tiny", "lstm")
HEAD = """# What lifts, and what is refused

Made by `python -m benchmarks zoo`: every row was run.

| network | parameters | nodes | prunable share | the contract | what the graph does not carry |
|---|---|---|---|---|---|
"""
REFUSALS = """
## Refused

Each of these is refused at push, with this error:

| what | the error, and what to do |
|---|---|
"""


def run(*, quick: bool) -> Figures:
    torch.set_num_threads(2)
    names = QUICK if quick else tuple(ZOO)
    rows, lifted = [], 0
    for name in names:
        case = Case.of(name)
        failed = list(_failures(case))
        lifted += not failed
        rows.append(_row(name, case, failed))
        print(rows[-1], flush=True)
    if not quick:
        _write(SCOPE, rows)
    return {"lifted": Figure(lifted, "networks", target=f">= {len(names)}"), "of": Figure(len(names), "networks")}


def _failures(case: Case) -> Iterator[str]:
    for title, check in CHECKS.items():
        said = check(case)
        if said:
            yield f"{title}: {said}"


def _row(name: str, case: Case, failed: list[str]) -> str:
    parameters = sum(p.numel() for p in case.model.module.parameters())
    cells = [
        name,
        f"{parameters:,}",
        str(len(case.model.module.graph.nodes)),
        f"{100 * prunable_share(case.model, analyse(case.model)):.1f} %",
        "; ".join(failed) or "holds",
        "; ".join(case.model.notes) or "nothing",
    ]
    return _line(cells)


def _write(path: Path, rows: list[str]) -> None:
    refusals = [_line([what, _refusal(refused)]) for what, refused in REFUSED.items()]
    path.write_text(HEAD + "\n".join(rows) + "\n" + REFUSALS + "\n".join(refusals) + "\n")


def _refusal(refused: Refused) -> str:
    try:
        export(refused.build(), refused.inputs())
    except ModelpressError as e:
        return str(e)
    raise AssertionError(f"{refused.build} was expected to be refused, and lifts")


def _line(cells: list[str]) -> str:
    clean = (cell.replace("|", "\\|").replace("\n", " ") for cell in cells)
    return f"| {' | '.join(clean)} |"
