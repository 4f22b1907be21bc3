"""From what a user names to an x-ray of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelpress.artifacts.digest import digest_of
from modelpress.catalogue import Form
from modelpress.client.refs import Ref
from modelpress.client.sources import TIMM
from modelpress.errors import InputError
from modelpress.graph.model import Model
from modelpress.graph.serialise import save
from modelpress.graph.storage import get_model
from modelpress.xray.advice import Subject
from modelpress.xray.budget import Clock
from modelpress.xray.findings import XRay
from modelpress.xray.memory import check_weights, free_bytes
from modelpress.xray.subject import has_batch_norms, sample_shape
from modelpress.xray.take import Options, take
from modelpress.xray.targets import check_target, remember
from modelpress.xray.wake import wake

if TYPE_CHECKING:
    from torch import nn

    from modelpress.client.client import Client
    from modelpress.graph.inputs import Dynamic, ExampleInputs

EXAMPLE_SOURCE = "my_models:build"
"""Stands in the command for a module that came without a name to find it by."""


@dataclass(frozen=True)
class Request:
    """What is x-rayed: a module with its inputs, an archive, or what is in the store.

    ``source`` is what a user calls it, and ``input_words`` what ``--input`` says, for the command to run next.
    """

    model: nn.Module | Path | Ref
    example_inputs: ExampleInputs | None = None
    dynamic: Dynamic | None = None
    source: str = ""
    input_words: tuple[str, ...] = ()


def xray(client: Client, request: Request, options: Options, target: str, say: Callable[[str], None]) -> XRay:
    """Take the x-ray and keep what it found with the target.

    Raises:
        ExportError, InputError, NotFoundError: as `Client.xray`.
    """
    check_target(target)
    clock = Clock.start(options.budget_s)
    say("exporting" if not isinstance(request.model, Ref) else "loading")
    model = _model(client, request)
    if model.form is not Form.DENSE:
        raise InputError(
            f"'{_source(request)}' is {model.form}; an x-ray tells what compression brings to a dense model"
        )
    woken = wake(model)  # a copy of ours: what is exported or read shares nothing with the user's module
    found = take(model, _subject(request, model), options, client.catalogue, clock, say)
    remember(client.store, digest_of(save(model).graph_json), found)
    return replace(found, warnings=(*found.warnings, *woken))


def request_of(client: Client, model: Any, example_inputs: ExampleInputs | None, dynamic: Dynamic | None) -> Request:
    """What a program names: a module, a path, text that is one or stands for an artifact, or a reference.

    Raises:
        NotFoundError: nothing has that name.
    """
    if isinstance(model, str) and not model.endswith(".pt2"):
        return Request(client.artifact(model), example_inputs, dynamic, model)
    return Request(Path(model) if isinstance(model, str) else model, example_inputs, dynamic)


def _model(client: Client, request: Request) -> Model:
    from modelpress.client.pushing import model_of

    if isinstance(request.model, Ref):
        if request.example_inputs is not None or request.dynamic is not None:
            raise InputError(f"'{request.model}' knows its inputs; leave example_inputs and dynamic out")
        return get_model(client.store, request.model.digest)
    if not isinstance(request.model, Path):
        parameters = (*request.model.parameters(), *request.model.buffers())
        check_weights(sum(tensor.nbytes for tensor in parameters), free_bytes())
    return model_of(request.model, request.example_inputs, request.dynamic)


def _subject(request: Request, model: Model) -> Subject:
    source = _source(request)
    pushed = isinstance(request.model, Ref)
    named = source if request.source or isinstance(request.model, Path) else EXAMPLE_SOURCE
    words = Path(named).stem if isinstance(request.model, Path) else named.removeprefix(TIMM)
    name = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-") or "model"
    return Subject(source, named, name, request.input_words, pushed, sample_shape(model), has_batch_norms(model))


def _source(request: Request) -> str:
    if request.source:
        return request.source
    if isinstance(request.model, Path | Ref):
        return str(request.model)
    return type(request.model).__name__
