"""What every registered method promises, as checks over its description.

Each check takes a `MethodInfo`, returns nothing, and raises ``AssertionError`` saying what is missing. Run all of them
over a catalogue, your own included::

    @pytest.mark.parametrize("check", METHOD_CHECKS)
    @pytest.mark.parametrize("info", tuple(load_catalogue()))
    def test_method(info, check):
        check(info)
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from modelpress.artifacts.digest import canonical_json
from modelpress.catalogue import Kind, MethodInfo, MethodParams

HEAVY = ("torch", "onnx", "onnxruntime", "onnxscript", "safetensors", "matplotlib", "torchmetrics")
"""What describing methods must not import."""

_PART = r"[a-z0-9][a-z0-9-]*"
_METHOD_NAME = re.compile(f"{_PART}/{_PART}")
_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]*")
_RUN = re.compile(r"[a-z][a-z0-9_.]*:[a-z][a-z0-9_]*")


def check_name(info: MethodInfo) -> None:
    """``<service>/<name>``, and what it names is spelt so that pipelines, gates and keyword arguments can use it."""
    assert _METHOD_NAME.fullmatch(info.name), f"'{info.name}' is no method name: expected <service>/<name>"
    assert info.version >= 1, f"{info.name}: versions count from 1"
    for name in [*info.inputs, *info.outputs, *info.metrics]:
        assert _IDENTIFIER.fullmatch(name), f"{info.name}: '{name}' is no identifier"
    taken = {"params", "job"} & set(info.inputs)
    assert not taken, f"{info.name}: the kernel's own arguments cannot be inputs: {taken}"


def check_summary(info: MethodInfo) -> None:
    """One sentence on one line."""
    text = info.summary
    assert text == text.strip(), f"{info.name}: the summary has blanks around it"
    assert "\n" not in text, f"{info.name}: the summary is more than one line"
    assert text.endswith("."), f"{info.name}: the summary is a sentence and ends with a full stop"


def check_paper(info: MethodInfo) -> None:
    """The module that describes it says where it comes from: ``Paper: ...``, or ``Paper: none``."""
    module = importlib.import_module(info.params.__module__)
    papers = re.findall(r"^Papers?: (.+)$", inspect.getdoc(module) or "", re.MULTILINE)
    assert papers, f"{info.name}: the docstring of {module.__name__} has no line 'Paper: ...' (or 'Paper: none')"
    assert info.paper or papers[0].startswith("none"), f"{info.name}: the docstring names a paper, INFO does not"


def check_artifacts(info: MethodInfo) -> None:
    """It gives something; a model that it makes out of models descends from one that the pipeline can tell."""
    assert info.outputs, f"{info.name} has no output"
    assert info.produces, f"{info.name} produces no form"
    makes_model = Kind.MODEL in info.outputs.values()
    takes_model = any(Kind.MODEL in port.kinds for port in info.inputs.values())
    assert info.descends_from or not (makes_model and takes_model), (
        f"{info.name}: the input that its output descends from is called 'model' or 'student'"
    )
    for name, port in info.inputs.items():
        assert port.accepts, f"{info.name}: input '{name}' accepts no form"


def check_metrics(info: MethodInfo) -> None:
    """Each with its unit and meaning."""
    for name, meaning in info.metrics.items():
        assert meaning.strip(), f"{info.name}: metric '{name}' has no meaning"


def check_parameters(info: MethodInfo) -> None:
    """Strict, described, and JSON all through."""
    assert issubclass(info.params, MethodParams), f"{info.name}: Params is no MethodParams"
    assert info.params.model_config.get("extra") == "forbid", f"{info.name}: Params lets unknown parameters through"
    assert info.params.model_config.get("frozen"), f"{info.name}: Params can be changed"
    schema = info.params.model_json_schema()
    json.dumps(schema, allow_nan=False)
    silent = list(_undescribed(schema))
    assert not silent, f"{info.name}: parameters without a description: {', '.join(silent)}"


def check_defaults(info: MethodInfo) -> None:
    """Every default passes its own field's checks, all of them together the model's, and a step key can hold them."""
    fields = info.params.model_fields
    for name, field in fields.items():
        if not field.is_required():
            default = field.get_default(call_default_factory=True, validated_data={})
            kept = _adapter(field).validate_python(default)
            assert kept == default, f"{info.name}: the default of '{name}' becomes {kept!r}"
    if not any(field.is_required() for field in fields.values()):
        params = info.params()
        dumped = params.model_dump(mode="json")
        canonical_json(dumped)
        assert info.params.model_validate(dumped) == params, f"{info.name}: its defaults do not survive JSON"


def check_kernel(info: MethodInfo) -> None:
    """It is there, and takes each input, ``params`` and ``job`` by keyword, and nothing else that has no default."""
    assert _RUN.fullmatch(info.run), f"{info.name}: '{info.run}' is not 'package.module:function'"
    kernel = info.kernel()
    assert callable(kernel), f"{info.name}: {info.run} cannot be called"
    arguments = inspect.signature(kernel).parameters
    wanted = {*info.inputs, "params", "job"}
    takes = {name for name, argument in arguments.items() if argument.kind in _BY_KEYWORD}
    assert wanted <= takes, f"{info.name}: {info.run} does not take {', '.join(sorted(wanted - takes))} by keyword"
    needed = {name for name, argument in arguments.items() if argument.default is argument.empty}
    assert needed <= wanted, f"{info.name}: {info.run} wants {', '.join(sorted(needed - wanted))}, which nobody gives"
    empty = sorted(name for name in needed if name in info.inputs and info.inputs[name].optional)
    assert not empty, f"{info.name}: {info.run} has no default for {', '.join(empty)}, which may stay empty"


METHOD_CHECKS: tuple[Callable[[MethodInfo], None], ...] = (
    check_name,
    check_summary,
    check_paper,
    check_artifacts,
    check_metrics,
    check_parameters,
    check_defaults,
    check_kernel,
)


def heavy_imports(statement: str) -> list[str]:
    """Which of `HEAVY` a fresh interpreter has imported after ``statement`` (Python code of the caller's own)."""
    report = f"import json, sys; print(json.dumps(sorted(set({HEAVY!r}) & set(sys.modules))))"
    done = subprocess.run(
        [sys.executable, "-c", f"{statement}\n{report}"], capture_output=True, text=True, timeout=120, check=True
    )
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


_BY_KEYWORD = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _adapter(field: FieldInfo) -> TypeAdapter[Any]:
    annotated: Any = Annotated[field.annotation, field]
    return TypeAdapter(annotated)


def _undescribed(schema: Mapping[str, Any]) -> Iterator[str]:
    for name, entry in schema.get("properties", {}).items():
        if not entry.get("description", "").strip():
            yield name
    for definition in schema.get("$defs", {}).values():
        yield from _undescribed(definition)
