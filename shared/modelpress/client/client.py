"""The client: push a model and data, run a pipeline, take out what came of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelpress.artifacts.digest import Digest
from modelpress.artifacts.refs import TaggedArtifact, list_artifacts, resolve
from modelpress.artifacts.store import Store
from modelpress.catalogue import Catalogue, Kind, load_catalogue
from modelpress.client.listing import run_outputs
from modelpress.client.pipelines import PipelineLike, load_pipeline
from modelpress.client.refs import DataRef, ModelRef, Ref, ref_of
from modelpress.client.run import Run
from modelpress.client.submitting import inputs_of, unfinished
from modelpress.client.tagging import tag
from modelpress.client.upkeep import DAY_S, account, collect_garbage, damages, import_run
from modelpress.config.settings import Settings, load_settings
from modelpress.errors import InputError, NotFoundError
from modelpress.pipeline.plan import Plan

if TYPE_CHECKING:
    from torch import nn

    from modelpress.artifacts.gc import Collected
    from modelpress.artifacts.usage import Usage
    from modelpress.artifacts.verify import Damage, Progress
    from modelpress.client.comparison import Comparison
    from modelpress.client.contents import Contents
    from modelpress.data.dataset import Dataset
    from modelpress.engine.driver import Engine
    from modelpress.engine.events import DeadLetter
    from modelpress.graph.inputs import Dynamic, ExampleInputs
    from modelpress.pipeline.foresee import Foresight
    from modelpress.report.evidence import Candidate
    from modelpress.report.facts import Facts
    from modelpress.xray.findings import XRay

RefLike = str | Ref

LAST = "last"
"""Stands for the newest run."""

RUN_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]+")


def connect(address: str | None = None, home: str | Path | None = None) -> Client:
    """A client of the engine in this process, whose runs and artifacts lie under ``home``.

    ``home`` is by default what ``MODELPRESS_HOME`` says, else ``~/.modelpress``; it is made where it is missing.

    Raises:
        InputError: an ``address`` was given: this version has no servers; or ``home`` cannot be used.
    """
    if address is not None:
        raise InputError(
            f"cannot connect to '{address}': this version runs embedded only; a folder of your own is connect(home=...)"
        )
    from modelpress.engine.driver import Engine
    from modelpress.engine.home import Home

    settings = load_settings()
    catalogue = load_catalogue()
    folder = Path(home).expanduser().absolute() if home is not None else settings.home
    return Client(Engine(Home(folder, settings.durability), catalogue, settings), catalogue, settings)


class Client:
    """What a program does with modelpress. Made by `connect`."""

    def __init__(self, engine: Engine, catalogue: Catalogue, settings: Settings) -> None:
        self.engine = engine
        self.catalogue = catalogue
        self.settings = settings

    @property
    def store(self) -> Store:
        return self.engine.store

    def push_model(
        self,
        net: nn.Module | str | Path,
        example_inputs: ExampleInputs | None = None,
        name: str | None = None,
        *,
        dynamic: Dynamic | None = None,
    ) -> ModelRef:
        """Export ``net`` in this process, check that the export does the same, and store it.

        ``example_inputs`` are what ``net`` is called with: a tensor ``[batch, ...]``, a sequence by position, or a
        mapping by keyword. ``dynamic`` names dimensions besides the batch whose size may change, as in
        `modelpress.graph.export.export`. Training may go on in the service exactly as here; what the export could not
        carry is told in the manifest's ``notes``. A path instead of a module is a ``.pt2`` archive that
        ``torch.export.save`` wrote; it knows its inputs.

        Raises:
            ExportError: it does not export; names the operator and the line of yours.
            InputError: a module without example inputs, or an archive with some.
            NotFoundError, ModelFormatError: as `modelpress.graph.pt2.reader.read_pt2`.
        """
        from modelpress.client.pushing import check_name, model_of
        from modelpress.graph.storage import put_model

        check_name(name)
        digest = put_model(self.store, model_of(net, example_inputs, dynamic))
        return ModelRef(self.store, digest, self._named(name, digest))

    def xray(
        self,
        model: nn.Module | RefLike | Path,
        example_inputs: ExampleInputs | None = None,
        *,
        dynamic: Dynamic | None = None,
        batches: Sequence[int] = (1, 64),
        threads: int | None = None,
        budget_s: float = 60.0,
        target: str = "local",
        say: Callable[[str], None] = lambda text: None,
    ) -> XRay:
        """What int8 and less width would bring to ``model`` on this machine; no data is needed, nothing is trained.

        ``model`` is a module with its ``example_inputs`` as for `push_model`, a ``.pt2`` archive (a `Path`, or text
        that ends so), or what push returned, a tag or a digest. Latencies are ONNX Runtime's at each of ``batches``
        with ``threads`` (default: the settings'). ``budget_s`` bounds building and measuring; what did not fit is
        named. ``say`` is told what is being done.

        Raises:
            ExportError, InputError, NotFoundError: as `push_model`; too large for the memory that is free; or a
                ``target`` other than this machine.
        """
        from modelpress.client.xraying import request_of, xray
        from modelpress.xray.take import Options

        options = Options(tuple(batches), self.settings.threads if threads is None else threads, budget_s)
        return xray(self, request_of(self, model, example_inputs, dynamic), options, target, say)

    def push_data(self, source: str | Dataset, name: str | None = None, **options: Any) -> DataRef:
        """Store a dataset: one that you made, ``fashion-mnist``, a folder of IDX files or an .npz file.

        A source's own name (``fashion-mnist``, the file's stem) is used where ``name`` is omitted. ``options`` are
        those of `modelpress.data.importers.import_data`.

        Raises:
            NotFoundError, DataError, InputError: as `import_data`.
        """
        from modelpress.client.pushing import check_name
        from modelpress.data.importers import import_data
        from modelpress.data.storage import put_dataset

        name = name or (Path(source).stem if isinstance(source, str) else None)
        check_name(name)
        dataset = import_data(source, settings=self.settings, **options) if isinstance(source, str) else source
        digest = put_dataset(self.store, dataset)
        return DataRef(self.store, digest, self._named(name, digest))

    def _named(self, name: str | None, digest: Digest) -> str:
        if name:
            tag(self.store, name, digest)
        return name or ""

    def plan(
        self,
        pipeline: PipelineLike,
        *,
        model: RefLike | None = None,
        data: RefLike | None = None,
        set: Mapping[str, Any] | None = None,
        seed: int | None = None,
        require_inputs: bool = True,
    ) -> Plan:
        """What `run` would run, every default filled.

        Raises:
            SpecError: it cannot work; carries every fault.
            NotFoundError: there is no such recipe or file.
        """
        from modelpress.pipeline.validate import validate

        given = {name: str(ref) for name, ref in (("model", model), ("data", data)) if ref is not None}
        spec = load_pipeline(pipeline)
        return validate(spec, self.catalogue, given, set, seed=seed, require_inputs=require_inputs)

    def foreseen(self, plan: Plan) -> dict[str, Foresight]:
        """By step whether a run of ``plan`` would find its result: "cached", "runs", or "unknown" before it runs."""
        from modelpress.client.foresight import foresee
        from modelpress.engine.home import TENANT

        return foresee(self.store, plan, TENANT, self.settings.threads)

    def run(
        self,
        pipeline: PipelineLike,
        *,
        model: RefLike | None = None,
        data: RefLike | None = None,
        set: Mapping[str, Any] | None = None,
        seed: int | None = None,
        priority: int = 0,
    ) -> Run:
        """Submit a pipeline: a recipe's name, a file, or plain data of the same shape; `Run.wait` drives it.

        Where a run of the same plan on the same inputs did not end (its process was killed), that run is returned,
        and goes on where it was.

        ``model`` and ``data`` are what push returned, tags or digests. ``set`` are the pipeline's parameters. Steps of
        a run with a higher ``priority`` get places first.

        Raises:
            SpecError, NotFoundError: as `plan`; or nothing has the name of an input.
            InputError: an input is of another kind than the steps that read it take.
        """
        plan = self.plan(pipeline, model=model, data=data, set=set, seed=seed)
        inputs = inputs_of(self.store, self.catalogue, plan)
        left = unfinished(self.engine.runs(), plan, inputs)
        return Run(self, left or self.engine.submit(plan, inputs, priority=priority))

    def submit(
        self,
        pipeline: PipelineLike,
        *,
        model: RefLike | None = None,
        data: RefLike | None = None,
        set: Mapping[str, Any] | None = None,
        seed: int | None = None,
        priority: int = 0,
    ) -> Run:
        """Record a new run and return at once. Whatever drives the home does it: a `Run.wait`, a ``modelpress run``.

        Raises:
            SpecError, NotFoundError, InputError: as `run`.
        """
        plan = self.plan(pipeline, model=model, data=data, set=set, seed=seed)
        inputs = inputs_of(self.store, self.catalogue, plan)
        return Run(self, self.engine.submit(plan, inputs, priority=priority))

    def runs(self) -> list[Run]:
        """Every run of this home, the newest first."""
        return [Run(self, state.run_id) for state in self.engine.runs()]

    def get(self, run: str) -> Run:
        """A run by its id, the beginning of one, or ``last``.

        Raises:
            NotFoundError: there is none, or several ids begin so.
        """
        return Run(self, self._run_id(run))

    def artifact(self, ref: RefLike) -> Ref:
        """What a tag, a digest or the beginning of one stands for, or an output of a run: ``last.model``.

        Raises:
            NotFoundError: nothing; offers the nearest.
        """
        text = str(ref)
        run_id, dot, output = text.partition(".")
        if dot and (run_id == LAST or RUN_ID.fullmatch(run_id)):
            return self.get(run_id).outputs[output]
        digest = resolve(self.store, text)
        return ref_of(self.store, digest, "" if text.startswith("sha256:") else text)

    def contents(self, ref: RefLike) -> Contents:
        """What an artifact is made of: layers, totals, operators, and what a run of this home measured.

        Raises:
            NotFoundError, CorruptBlobError: there is none, or it was damaged.
        """
        from modelpress.client.contents import contents

        return contents(self.artifact(ref), self.engine.runs())

    def compare(self, before: RefLike, after: RefLike) -> Comparison:
        """Two models or two packages side by side: totals with ratios, layers joined by path.

        Raises:
            InputError: they are of other kinds.
            NotFoundError, CorruptBlobError: as `contents`.
        """
        from modelpress.client.comparison import compare

        return compare(self.artifact(before), self.artifact(after), self.engine.runs())

    def artifacts(self, kind: Kind | None = None) -> list[TaggedArtifact]:
        """Everything that has a name, and the models and packages that runs put out (as ``RUN.OUTPUT``)."""
        found = [*list_artifacts(self.store), *run_outputs(self.store, self.engine.runs())]
        return [a for a in found if kind is None or a.manifest.kind is kind]

    def pull(self, ref: RefLike, to: str | Path, format: str | None = None) -> Path:
        """Write an artifact to ``to``; see `Ref.save`."""
        return self.artifact(ref).save(to, format)

    def dead_letters(self) -> tuple[DeadLetter, ...]:
        """Steps that failed and records that could not be read, oldest first, until they are replayed or dropped."""
        return self.engine.dead_letters()

    def replay(self, letter: str) -> Run | None:
        """Try a dead letter again and drop it: the resumed run of a step, None for a record that was sent anew.

        Raises:
            NotFoundError: there is no such letter, or its run is gone.
        """
        run_id = self.engine.replay(letter)
        return Run(self, run_id) if run_id else None

    def drop(self, letter: str) -> None:
        """Forget a dead letter.

        Raises:
            NotFoundError: there is no such letter.
        """
        self.engine.drop(letter)

    def gc(self, *, grace_s: float = DAY_S, dry_run: bool = False) -> Collected:
        """Remove what no tag, no run and no result that is whole leads to, and that is older than ``grace_s`` seconds.

        Inputs and outputs of every run that is listed stay, of one that has not ended all that its steps made.
        ``dry_run`` only tells. It is safe while runs write.

        Raises:
            InputError: ``grace_s`` is too short while something drives the home.
            StoreError: a tag leads to what is missing or corrupt, and nothing was removed; or the store is read-only.
        """
        return collect_garbage(self.engine, grace_s, dry_run)

    def du(self) -> Usage:
        """What takes the store's space: bytes by kind of artifact and by what keeps them."""
        return account(self.engine)

    def verify(self, progress: Progress | None = None) -> list[Damage]:
        """Read every blob; what is damaged, whose it is, what to do. ``progress`` is told bytes read and in all."""
        return damages(self.engine, progress)

    def import_run(self, path: str | Path) -> Run:
        """Take in a run that `Run.export` wrote, with all its artifacts, results and logs; again is fine.

        Raises:
            InputError: the file is no whole archive of a run, or the run is here and has not ended.
            StoreFullError: no space is left.
        """
        return Run(self, import_run(self.engine, Path(path)))

    def facts(self, run: str) -> Facts:
        """Everything that the report of ``run`` tells."""
        from modelpress.report.facts import gather

        state = self.engine.get(self._run_id(run))
        return gather(state, self.store, self.catalogue, self.engine.progress(state.run_id))

    def write_report(self, run: str, path: Path, beside: Sequence[Candidate] = ()) -> Path:
        """Write the report of ``run`` to ``path``; return it. ``beside`` are baselines that were measured elsewhere."""
        from modelpress.client.export import save_file
        from modelpress.report.page import render

        facts = self.facts(run)
        shown = replace(facts, candidates=(*facts.candidates, *beside))
        return save_file(render(shown).encode(), path)

    def _run_id(self, text: str) -> str:
        if text != LAST:
            return self.engine.get(text).run_id
        newest = self.engine.runs()
        if not newest:
            raise NotFoundError("there is no last run: none was submitted in this home")
        return newest[0].run_id

    def close(self) -> None:
        """End the worker's process; it ends by itself when this process does."""
        self.engine.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
