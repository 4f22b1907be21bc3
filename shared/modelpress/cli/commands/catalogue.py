"""``methods``: what a pipeline can use. Reads descriptions only; torch is not imported."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modelpress.cli import completion, options, output

if TYPE_CHECKING:
    from modelpress.catalogue import MethodInfo, Port


def register(app: typer.Typer) -> None:
    app.command("methods", rich_help_panel="Catalogue")(methods)


def methods(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="METHOD",
            help="A method, such as pruner/network-slimming; all when omitted.",
            autocompletion=completion.complete_method,
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """List the methods, or describe one: inputs, parameters, metrics, paper."""
    from modelpress.catalogue import load_catalogue

    catalogue = load_catalogue()
    if name is None:
        if as_json:
            output.emit_json([describe(info) for info in catalogue])
        else:
            output.table(["method", "does"], [[info.name, info.summary] for info in catalogue])
        return
    info = catalogue[name]
    if as_json:
        output.emit_json(describe(info))
    else:
        _print(info)


def describe(info: MethodInfo) -> dict[str, Any]:
    """The facts of a method as JSON; ``params`` is the JSON Schema of its parameters."""
    return {
        "name": info.name,
        "summary": info.summary,
        "paper": info.paper,
        "version": info.version,
        "trains": info.trains,
        "pure": info.pure,
        "inputs": {port: _port(facts) for port, facts in info.inputs.items()},
        "outputs": {port: str(kind) for port, kind in info.outputs.items()},
        "produces": sorted(info.produces),
        "params": info.params.model_json_schema(),
        "metrics": dict(info.metrics),
    }


def _port(port: Port) -> dict[str, Any]:
    facts: dict[str, Any] = {"kinds": sorted(port.kinds), "optional": port.optional, "doc": port.doc}
    return facts | ({"forms": sorted(port.accepts)} if "model" in port.kinds else {})


def _print(info: MethodInfo) -> None:
    output.say(f"{info.name}  (version {info.version})", "bold")
    output.say(info.summary)
    if info.paper:
        output.say(f"Paper: {info.paper}", "dim")
    output.table(["input", "kind", "about"], [[n, _kinds(p), p.doc] for n, p in info.inputs.items()])
    output.table(["output", "kind"], [[n, str(k)] for n, k in info.outputs.items()])
    rows = parameter_rows(info)
    if rows:
        output.table(["parameter", "type", "default", "about"], rows)
    if info.metrics:
        output.table(["metric", "meaning"], metric_rows(info))


def metric_rows(info: MethodInfo) -> list[list[str]]:
    """Name and meaning; a metric that there is for every batch size stands once, as ``latency_ms_b<N>``."""
    rows: dict[str, str] = {}
    for name, meaning in info.metrics.items():
        rows.setdefault(
            re.sub(r"_b\d+$", "_b<N>", name),
            re.sub(r"\b1 samples", "N samples", re.sub(r"(_b|batch )1\b", r"\1<N>", meaning)),
        )
    return [[name, meaning] for name, meaning in rows.items()]


def _kinds(port: Port) -> str:
    text = " or ".join(sorted(port.kinds))
    forms = f" ({', '.join(sorted(port.accepts))})" if "model" in port.kinds else ""
    return text + forms + (", optional" if port.optional else "")


def parameter_rows(info: MethodInfo) -> list[list[str]]:
    """Name, type with bounds, default and description of each parameter."""
    schema = info.params.model_json_schema()
    required = set(schema.get("required", []))
    rows = []
    for name, facts in schema.get("properties", {}).items():
        default = "required" if name in required else str(facts.get("default", ""))
        rows.append([name, _type(facts, schema.get("$defs", {})), default, str(facts.get("description", ""))])
    return rows


def _type(facts: dict[str, Any], definitions: dict[str, Any]) -> str:
    """``number > 0, < 1`` from a JSON Schema."""
    if "$ref" in facts:
        return _type(definitions[facts["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in facts:
        return " or ".join(_type(option, definitions) for option in facts["anyOf"])
    if "enum" in facts:
        return " | ".join(str(value) for value in facts["enum"])
    if "const" in facts:
        return str(facts["const"])
    if facts.get("type") == "array" and isinstance(facts.get("items"), dict):
        return f"list of {_type(facts['items'], definitions)}"
    signs = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}
    bounds = ", ".join(f"{sign} {facts[key]}" for key, sign in signs.items() if key in facts)
    return f"{facts.get('type', 'any')} {bounds}".strip()
