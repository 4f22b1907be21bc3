"""The client without torch: pipelines, references, what is refused before anything is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import modelpress
from modelpress.artifacts.manifest import put_artifact
from modelpress.catalogue import Kind
from modelpress.client.client import Client
from modelpress.client.pipelines import load_pipeline
from modelpress.client.submitting import inputs_of
from modelpress.errors import InputError, NotFoundError, SpecError
from modelpress.pipeline.plan import Plan, PlannedStep
from modelpress.recipes import list_recipes
from tests.unit.report.samples import PIPELINE

RECIPE = list_recipes()[0].name


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with modelpress.connect(home=tmp_path / "home") as made:
        yield made


def pushed(client: Client, name: str, kind: Kind) -> str:
    digest = put_artifact(client.store, kind, {"name": name}, {})
    client.store.tags.swap(name, None, digest)
    return name


def test_servers_are_refused_clearly() -> None:
    with pytest.raises(InputError, match=r"embedded only; .*connect\(home="):
        modelpress.connect("host:1234")


def test_the_home_is_what_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELPRESS_HOME", str(tmp_path / "elsewhere"))
    with modelpress.connect() as client:
        assert client.runs() == []
    assert (tmp_path / "elsewhere").is_dir()


def test_a_pipeline_is_a_recipe_a_file_or_a_mapping(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("apiVersion: modelpress/v1\nkind: Pipeline\nmetadata: {name: mine}\nsteps: []\n")
    assert load_pipeline(RECIPE).name == RECIPE
    assert load_pipeline(file).name == load_pipeline(str(file)).name == "mine"
    assert load_pipeline(PIPELINE).name == "joint"
    with pytest.raises(NotFoundError, match="did you mean"):
        load_pipeline(RECIPE[:-1])


def test_run_submits_with_resolved_inputs(client: Client) -> None:
    model, data = pushed(client, "m", Kind.MODEL), pushed(client, "d", Kind.DATASET)
    run = client.run(PIPELINE, model=model, data=data, seed=3)
    state = run.state
    assert state.plan.seed == 3
    assert state.inputs == {"model": client.store.tags.get("m"), "data": client.store.tags.get("d")}
    assert [r.id for r in client.runs()] == [run.id]
    assert client.get("last").id == client.get(run.id[:-1]).id == run.id
    assert not run.succeeded


def test_an_input_of_the_wrong_kind_is_refused(client: Client) -> None:
    model, data = pushed(client, "m", Kind.MODEL), pushed(client, "d", Kind.DATASET)
    with pytest.raises(InputError, match=r"inputs\.model: 'd' is a dataset; the steps read a model"):
        client.run(PIPELINE, model=data, data=model)
    assert client.runs() == []


def test_run_goes_on_with_what_did_not_end_and_submit_always_records(client: Client) -> None:
    model, data = pushed(client, "m", Kind.MODEL), pushed(client, "d", Kind.DATASET)
    left = client.run(PIPELINE, model=model, data=data, priority=2)
    assert client.run(PIPELINE, model=model, data=data).id == left.id
    assert client.submit(PIPELINE, model=model, data=data).id != left.id
    other = client.run(PIPELINE, model=model, data=data, seed=1)
    assert other.id != left.id
    left.cancel()
    assert left.resume().state.priority == 2
    assert client.run(PIPELINE, model=model, data=data).id not in (left.id, other.id)


@pytest.mark.parametrize("several", [False, True])
def test_a_form_that_a_step_does_not_take_is_refused_first(client: Client, several: bool) -> None:
    digest = put_artifact(client.store, Kind.MODEL, {"form": "quantized"}, {})
    client.store.tags.swap("int8", None, digest)
    source = ("inputs.model",) if several else "inputs.model"
    steps = (PlannedStep(id="s", uses="quantizer/ptq-int8", version=1, inputs={"model": source}),)
    plan = Plan(name="p", inputs={"model": "int8"}, steps=steps, outputs={})
    with pytest.raises(InputError, match=r"step 's', inputs\.model: 'int8' is quantized; quantizer/ptq-int8 takes"):
        inputs_of(client.store, client.catalogue, plan)


def test_a_plan_of_what_is_not_pushed_yet_foresees_nothing(client: Client) -> None:
    plan = client.plan(RECIPE, model="not/there", require_inputs=False)
    told = client.foreseen(plan)
    assert set(told) == {step.id for step in plan.steps}
    assert "cached" not in told.values()


def test_a_home_is_kept_in_order_by_programs_too(client: Client, tmp_path: Path) -> None:
    run = client.submit(PIPELINE, model=pushed(client, "m", Kind.MODEL), data=pushed(client, "d", Kind.DATASET))
    assert client.dead_letters() == ()
    with pytest.raises(NotFoundError, match="no dead letter 'x'"):
        client.replay("x")
    with pytest.raises(InputError, match="is submitted"):
        run.export(tmp_path / "run.tar")
    with pytest.raises(InputError, match="cancel it first"):
        run.remove()
    assert run.cancel() == "cancelled"
    run.export(tmp_path / "run.tar")
    with modelpress.connect(home=tmp_path / "other") as other:
        assert other.import_run(tmp_path / "run.tar").state == run.state
        assert other.verify() == []
    run.remove()
    assert client.runs() == []
    assert client.gc(grace_s=0.0).blobs == (), "tags keep what was pushed"
    assert {share.keeper for share in client.du().shares} == {"tag"}


def test_faults_are_shown_before_inputs_are_looked_for(client: Client) -> None:
    with pytest.raises(SpecError, match="sparsty"):
        client.run(RECIPE, model="m", data="d", set={"sparsty": 0.5})


def test_artifacts_by_tag_digest_and_run(client: Client) -> None:
    pushed(client, "m", Kind.MODEL)
    found = client.artifact("m")
    assert found.name == "m"
    assert client.artifact(found.digest[:20]).digest == found.digest
    with pytest.raises(NotFoundError, match="no last run"):
        client.artifact("last.model")
    assert [a.name for a in client.artifacts()] == ["m"]
    assert client.artifacts(Kind.PACKAGE) == []


def test_a_cancelled_run_can_be_resumed(client: Client) -> None:
    run = client.run(PIPELINE, model=pushed(client, "m", Kind.MODEL), data=pushed(client, "d", Kind.DATASET))
    run.cancel()
    again = run.resume()
    assert run.status == "cancelled"
    assert again.state.resumed_from == run.id


@pytest.mark.parametrize("name", ["a b", "../x", "a//b"])
def test_a_name_that_can_be_no_tag_is_refused_first(client: Client, name: str) -> None:
    with pytest.raises(InputError, match="no name for a tag"):
        client.push_data("fashion-mnist", name=name)
