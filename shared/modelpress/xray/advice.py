"""The command to run next: one that works, with what the x-ray suggests."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from modelpress.xray.findings import Candidate

PRUNING_RECIPE = "slim-distill-int8"
INT8_RECIPE = "int8"
ASKED = 0.7
"""Of the size ratio that was found: the recipe spares the first layer, so that less goes."""
FASHION_MNIST = (1, 28, 28)


@dataclass(frozen=True)
class Subject:
    """What is x-rayed, and what a command has to say of it.

    ``title`` is what people read. ``source`` is what a command takes: for ``push model``, or the tag or digest where it
    was ``pushed`` already. ``name`` is the tag to push it under. ``sample`` is the shape of one image or vector, of a
    classifier of such, else None. ``has_norms``: batch norms, by whose scales the recipe prunes.
    """

    title: str
    source: str
    name: str
    input_words: tuple[str, ...]
    pushed: bool
    sample: tuple[int, ...] | None
    has_norms: bool


def next_command(subject: Subject, suggestion: Candidate | None) -> str:
    """Push the model, push data, run the recipe; as much of it as there is to do and can be done."""
    words = [] if subject.pushed else [_push(subject)]
    model = subject.source if subject.pushed else subject.name
    if subject.sample is None:
        return words[0] if words else f"modelpress show {shlex.quote(model)}"
    data = "fashion-mnist" if subject.sample == FASHION_MNIST else "my-data"
    file = "fashion-mnist" if data == "fashion-mnist" else "my-data.npz"
    words.append(f"modelpress push data {file} --name {data}")
    words.append(f"modelpress run {_recipe(subject, suggestion)} --model {shlex.quote(model)} --data {data}")
    return " && ".join(words)


def _push(subject: Subject) -> str:
    inputs = "".join(f" --input {shlex.quote(words)}" for words in subject.input_words)
    return f"modelpress push model {shlex.quote(subject.source)}{inputs} --name {subject.name}"


def _recipe(subject: Subject, suggestion: Candidate | None) -> str:
    if suggestion is None or not subject.has_norms:
        return INT8_RECIPE
    minimum = max(1.0, round(ASKED * suggestion.size_ratio, 1))
    return f"{PRUNING_RECIPE} --set sparsity={1 - suggestion.width:g} --set min_size_ratio={minimum:g}"
