"""How to repeat a run: its plan as a pipeline file with every default written out, and the commands."""

from __future__ import annotations

import shlex
from typing import Any

import yaml

from modelpress.engine.state import RunState
from modelpress.pipeline.plan import Plan


def pipeline_yaml(plan: Plan) -> str:
    """``plan`` as the YAML of a pipeline: every parameter and input explicit, so that no default can change it."""
    document: dict[str, Any] = {
        "apiVersion": "modelpress/v1",
        "kind": "Pipeline",
        "metadata": {"name": plan.name},
        "inputs": dict(plan.inputs),
        "seed": plan.seed,
        "steps": [_step(plan, step.id) for step in plan.steps],
        "outputs": dict(plan.outputs),
    }
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)


def _step(plan: Plan, step_id: str) -> dict[str, Any]:
    step = plan.step(step_id)
    parts = {"inputs": dict(step.inputs), "with": dict(step.params), "gate": dict(step.gate)}
    return {"id": step.id, "uses": step.uses, **{key: value for key, value in parts.items() if value}}


def commands(run: RunState, version: str) -> str:
    """Shell lines that run the same pipeline on the same inputs and seed."""
    pairs = [(f"--{name}", digest) for name, digest in run.inputs.items() if name in ("model", "data")]
    options = " \\\n    ".join(f"{flag} {shlex.quote(digest)}" for flag, digest in pairs)
    lines = [f"# modelpress {version}: in a checkout of that version, make setup and . .venv/bin/activate"]
    lines += ["# the pipeline below, saved under this name; push the model and the data first on another machine"]
    name = shlex.quote(f"{run.plan.name}.yaml")
    return "\n".join([*lines, f"modelpress run {name} --seed {run.plan.seed} \\\n    {options}".rstrip(" \\\n")])
