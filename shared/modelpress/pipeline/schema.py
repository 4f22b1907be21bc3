"""A JSON Schema of pipeline files, for editors: keys, methods, and each method's inputs, parameters and metrics.

It says what a file may look like, so that an editor completes and underlines while one types. What only planning can
tell (references, forms, branches) is left to `modelpress.pipeline.validate`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelpress.catalogue import Catalogue, MethodInfo, Port
from modelpress.pipeline.reader import NAME
from modelpress.pipeline.spec import API_VERSION, KIND

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_TEXT: Schema = {"type": "string"}
_NAME: Schema = {"type": "string", "pattern": f"^{NAME.pattern}$"}

_MARK: Schema = {"$ref": "#/$defs/mark"}
_REFERENCE: Schema = {"$ref": "#/$defs/reference"}
_CONDITION: Schema = {"$ref": "#/$defs/condition"}
_SHARED: Schema = {
    "mark": {"type": "string", "pattern": r"\$\{[^{}]*\}", "description": "A parameter, an axis or ${round}."},
    "reference": {"type": "string", "pattern": r"[.]|\$\{", "description": "inputs.<name> or <step>.<output>"},
    "condition": {
        "type": "string",
        "pattern": r"^\s*(<=|>=|==|<|>)\s*\S|^\$\{[^{}]*\}$",
        "description": "An operator and a number, as in '<= 0.5'.",
    },
}
_OUTPUTS: Schema = {"type": "object", "additionalProperties": _REFERENCE}


def pipeline_schema(catalogue: Catalogue) -> Schema:
    """The schema (draft 2020-12) of pipelines that use the methods of ``catalogue``, as plain JSON data."""
    methods = list(catalogue)
    shared: Schema = {}
    rules = [_method_rule(info, shared) for info in methods]
    return {
        "$schema": DIALECT,
        "title": "modelpress pipeline",
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "steps"],
        "additionalProperties": False,
        "properties": _top(),
        "$defs": {
            "entry": {
                "type": "object",
                "required": ["id"],
                "oneOf": [{"required": [key]} for key in ("uses", "steps", "pipeline")],
                "allOf": [
                    _if_has("uses", {"$ref": "#/$defs/step"}),
                    _if_has("steps", {"$ref": "#/$defs/block"}),
                    _if_has("pipeline", {"$ref": "#/$defs/pipeline"}),
                ],
            },
            "step": _object(_step([info.name for info in methods]), allOf=rules),
            "block": _object({**_unrolled(), "steps": _list_of_steps(), "outputs": _OUTPUTS}),
            "pipeline": _object({**_unrolled(), "pipeline": _pipeline(), "inputs": _inputs(), "with": _any_object()}),
            **_SHARED,
            **shared,
        },
    }


def _top() -> Schema:
    parameter = _object({"default": {}, "description": _TEXT})
    return {
        "apiVersion": {"const": API_VERSION},
        "kind": {"const": KIND},
        "metadata": _object({"name": _NAME, "title": _TEXT, "description": _TEXT}, required=["name"]),
        "parameters": {"type": ["object", "null"], "additionalProperties": parameter},
        "inputs": {
            "type": ["object", "null"],
            "additionalProperties": {"type": ["string", "null"]},
            "description": "Tags or digests by name; null where the run gives them.",
        },
        "seed": {"type": ["integer", "null"], "minimum": 0},
        "steps": _list_of_steps(),
        "outputs": {**_OUTPUTS, "type": ["object", "null"]},
    }


def _list_of_steps() -> Schema:
    return {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/entry"}}


def _step(methods: list[str]) -> Schema:
    requests = {"class": _NAME, "cores": _or_mark({"type": "integer", "minimum": 1}), "memory": _amount("512MB, 4GB")}
    return {
        **_unrolled(),
        "uses": {"enum": methods},
        "inputs": _inputs(),
        "with": _any_object(),
        "gate": _conditions(),
        "resources": _object(requests),
        "timeout": _amount("90 (seconds), 30m"),
    }


def _unrolled() -> Schema:
    """Keys that every sort of entry has."""
    values = _or_mark({"type": "array", "minItems": 1})
    return {
        "id": _NAME,
        "when": {**_conditions(), "description": "It runs where these hold: <step>.<metric> of earlier steps."},
        "repeat": _object({"times": _or_mark({"type": "integer", "minimum": 1})}, required=["times"]),
        "matrix": {"type": "object", "minProperties": 1, "additionalProperties": values},
    }


def _pipeline() -> Schema:
    return {**_TEXT, "description": "A recipe, or a file (./other.yaml) relative to this one."}


def _inputs() -> Schema:
    several = {"type": "array", "minItems": 1, "items": _REFERENCE}
    return {"type": ["object", "null"], "additionalProperties": {"anyOf": [_REFERENCE, several]}}


def _conditions() -> Schema:
    return {"type": ["object", "null"], "additionalProperties": _CONDITION}


def _amount(examples: str) -> Schema:
    return {"type": ["number", "string"], "description": f"A number, or with its unit: {examples}."}


def _any_object() -> Schema:
    return {"type": ["object", "null"]}


def _object(properties: Schema, **more: Any) -> Schema:
    return {"type": "object", "additionalProperties": False, "properties": properties, **more}


def _if_has(key: str, then: Schema) -> Schema:
    return {"if": {"required": [key]}, "then": then}


def _or_mark(schema: Mapping[str, Any]) -> Schema:
    return {"anyOf": [dict(schema), _MARK]}


def _method_rule(info: MethodInfo, shared: Schema) -> Schema:
    """What holds where ``uses`` is this method; definitions that it needs go to ``shared``."""
    prefix = info.name.replace("/", "-")
    params = info.params.model_json_schema(ref_template=f"#/$defs/{prefix}-{{model}}")
    shared |= {f"{prefix}-{name}": _untitled(schema) for name, schema in params.pop("$defs", {}).items()}
    required = params.get("required", [])
    properties: Schema = {
        "with": _object(
            {name: _or_mark(_untitled(schema)) for name, schema in params.get("properties", {}).items()},
            required=required,
        ),
        "inputs": _object({name: _port(port) for name, port in info.inputs.items()}),
        "gate": _object({name: {**_CONDITION, "description": unit} for name, unit in info.metrics.items()}),
    }
    for name in ("inputs", "gate", *(() if required else ("with",))):
        properties[name]["type"] = ["object", "null"]
    then: Schema = {"properties": {"uses": {"description": info.summary}, **properties}}
    return {
        "if": {"properties": {"uses": {"const": info.name}}, "required": ["uses"]},
        "then": then | ({"required": ["with"]} if required else {}),
    }


def _untitled(schema: Any) -> Any:
    """Without the titles that pydantic makes of names."""
    if isinstance(schema, list):
        return [_untitled(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: _untitled(value) for key, value in schema.items() if key != "title" or not isinstance(value, str)}


def _port(port: Port) -> Schema:
    kinds = " or ".join(sorted(port.kinds))
    about = {"description": port.doc or f"A {kinds}."}
    if not port.many:
        return {**_REFERENCE, **about}
    return {"anyOf": [_REFERENCE, {"type": "array", "minItems": 1, "items": _REFERENCE}], **about}
