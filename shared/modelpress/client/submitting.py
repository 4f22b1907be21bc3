"""What is looked at before a run is recorded: its inputs, and whether it is there already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from modelpress.artifacts.digest import Digest
from modelpress.artifacts.manifest import get_manifest
from modelpress.artifacts.refs import resolve
from modelpress.artifacts.store import Store
from modelpress.catalogue import Catalogue
from modelpress.engine.state import RunState
from modelpress.errors import InputError
from modelpress.pipeline.plan import Plan

INPUTS = "inputs."


def inputs_of(store: Store, catalogue: Catalogue, plan: Plan) -> dict[str, Digest]:
    """Digests of the plan's inputs, of the kinds and forms that its steps read.

    Raises:
        NotFoundError: nothing has the name of an input.
        InputError: an input is of another kind, or a model of another form, than a step that reads it takes.
    """
    from modelpress.pipeline.validate import input_kinds

    digests: dict[str, Digest] = {}
    for name, kinds in input_kinds(plan, catalogue).items():
        digest = resolve(store, plan.inputs[name])
        kind = get_manifest(store, digest).kind
        if kind not in kinds:
            wanted = " or ".join(sorted(kinds))
            raise InputError(f"inputs.{name}: '{plan.inputs[name]}' is a {kind}; the steps read a {wanted}")
        digests[name] = digest
    _check_forms(store, catalogue, plan, digests)
    return digests


def _check_forms(store: Store, catalogue: Catalogue, plan: Plan, digests: Mapping[str, Digest]) -> None:
    """Refuse a model whose form a step that reads it does not accept, before anything runs."""
    forms = {name: get_manifest(store, digest).config.get("form") for name, digest in digests.items()}
    for step in plan.steps:
        for port, source in step.inputs.items():
            accepts = catalogue[step.uses].inputs[port].accepts
            for name in _inputs_among(source):
                if forms[name] is not None and forms[name] not in accepts:
                    wanted = " or ".join(sorted(accepts))
                    raise InputError(
                        f"step '{step.id}', inputs.{port}: '{plan.inputs[name]}' is {forms[name]}; "
                        f"{step.uses} takes {wanted}"
                    )


def _inputs_among(source: str | tuple[str, ...]) -> list[str]:
    """Names of the run's own inputs that a port reads."""
    sources = (source,) if isinstance(source, str) else source
    return [one.removeprefix(INPUTS) for one in sources if one.startswith(INPUTS)]


def unfinished(runs: Iterable[RunState], plan: Plan, inputs: Mapping[str, Digest]) -> str | None:
    """The id of a run of the same plan on the same inputs that has not ended: a killed process left it behind."""
    for state in runs:
        same = (state.plan.steps, state.plan.seed, state.plan.outputs) == (plan.steps, plan.seed, plan.outputs)
        if same and state.inputs == inputs and not state.status.final:
            return state.run_id
    return None
