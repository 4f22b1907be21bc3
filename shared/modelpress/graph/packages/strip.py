"""Remove from an ONNX file what no runtime needs; a third of a small int8 file is names and debug records.

Gone: documentation, metadata, recorded shapes of inner values, producer, node names, attributes that say the
default, copies of equal constants. Names of inner values become the shortest unique ones, in graph order, so the
bytes depend on the model alone and not on how an exporter names things. Inputs keep their names.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

from modelpress.errors import StepError

if TYPE_CHECKING:
    import onnx

DIGITS = string.ascii_letters + string.digits
UNIT_DEFAULTS = {"dilations": 1, "strides": 1, "pads": 0}
"""Lists whose default the standard gives in words only: that value along each axis."""


def strip(model: onnx.ModelProto, inputs: Mapping[str, Sequence[int | str]], outputs: Sequence[str]) -> bytes:
    """The serialised file; ``model`` is changed.

    ``inputs`` are the names that its inputs get, in order, with their shapes, in which dynamic dimensions are symbols;
    ``outputs`` are the names of its outputs.

    Raises:
        StepError: the model has inner graphs or local functions, which this does not rename.
    """
    import onnx

    _check_flat(model)
    graph = model.graph
    _unlabel(model)
    _drop_default_attributes(graph)
    _merge_equal_constants(graph)
    _drop_unused_constants(graph)
    _name_dimensions(graph, list(inputs.values()))
    _rename(graph, list(inputs), outputs)
    _order_constants(graph)
    domains = {node.domain for node in graph.node}
    kept = [entry for entry in model.opset_import if entry.domain in domains]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _check_flat(model: onnx.ModelProto) -> None:
    import onnx

    if len(model.functions):
        raise StepError(f"the exported file has local functions ({model.functions[0].name}); it must be inlined")
    graphs = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)
    for node in model.graph.node:
        if any(a.type in graphs for a in node.attribute):
            raise StepError(f"the exported file has an inner graph in {node.op_type}, which packages do not take")


def _unlabel(model: onnx.ModelProto) -> None:
    """Clear everything that only people and exporters read."""
    graph = model.graph
    for field in ("producer_name", "producer_version", "domain", "model_version", "doc_string", "metadata_props"):
        model.ClearField(field)
    for field in ("doc_string", "metadata_props", "value_info", "quantization_annotation"):
        graph.ClearField(field)
    graph.name = "g"  # the checker wants one
    for node in graph.node:
        for field in ("name", "doc_string", "metadata_props", "overload"):
            node.ClearField(field)
        for attribute in node.attribute:
            attribute.ClearField("doc_string")
    for tensor in graph.initializer:
        for field in ("doc_string", "metadata_props"):
            tensor.ClearField(field)
    for value in (*graph.input, *graph.output):
        for field in ("doc_string", "metadata_props"):
            value.ClearField(field)


def _name_dimensions(graph: onnx.GraphProto, shapes: Sequence[Sequence[int | str]]) -> None:
    """Call dynamic dimensions by the model's symbols, those of the outputs too, where sums and products are as such."""
    symbols: dict[str, str] = {}
    for value, shape in zip(graph.input, shapes, strict=True):
        for dimension, size in zip(value.type.tensor_type.shape.dim, shape, strict=True):
            if dimension.dim_param and isinstance(size, str):
                symbols[dimension.dim_param] = size
    for value in (*graph.input, *graph.output):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param:
                named = re.sub(r"\w+", lambda match: symbols.get(match[0], match[0]), dimension.dim_param)
                dimension.dim_param = named


def _drop_default_attributes(graph: onnx.GraphProto) -> None:
    """Attributes that equal the operator's default of the schema say nothing."""
    import onnx

    for node in graph.node:
        schema = onnx.defs.get_schema(node.op_type, domain=node.domain)
        kept = [a for a in node.attribute if not _is_default(a, schema)]
        del node.attribute[:]
        node.attribute.extend(sorted(kept, key=lambda a: str(a.name)))


def _is_default(attribute: onnx.AttributeProto, schema: onnx.defs.OpSchema) -> bool:
    import onnx

    value = onnx.helper.get_attribute_value(attribute)
    if attribute.name in UNIT_DEFAULTS and set(value) == {UNIT_DEFAULTS[attribute.name]}:
        return True
    declared = schema.attributes.get(attribute.name)
    if declared is None or not declared.default_value.name:
        return False
    return bool(value == onnx.helper.get_attribute_value(declared.default_value))


def _merge_equal_constants(graph: onnx.GraphProto) -> None:
    import onnx

    first: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    same: dict[str, str] = {}
    for tensor in graph.initializer:
        raw = onnx.numpy_helper.to_array(tensor).tobytes()
        same[tensor.name] = first.setdefault((tensor.data_type, tuple(tensor.dims), raw), tensor.name)
    for node in graph.node:
        node.input[:] = [same.get(name, name) for name in node.input]


def _drop_unused_constants(graph: onnx.GraphProto) -> None:
    used = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _rename(graph: onnx.GraphProto, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    names = dict(zip((value.name for value in graph.input), inputs, strict=True))
    names.update(zip((value.name for value in graph.output), outputs, strict=True))
    fresh = _short_names(set(names.values()))
    for old in _values_in_order(graph):
        if old and old not in names:
            names[old] = next(fresh)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for thing in (*graph.input, *graph.output, *graph.initializer):
        thing.name = names[thing.name]


def _values_in_order(graph: onnx.GraphProto) -> Iterator[str]:
    for node in graph.node:
        yield from node.input
        yield from node.output


def _order_constants(graph: onnx.GraphProto) -> None:
    """By first use, so that the order does not depend on the exporter; data in one field, ``raw_data``."""
    import onnx

    place: dict[str, int] = {}
    for name in _values_in_order(graph):
        place.setdefault(name, len(place))
    ordered: Iterable[Any] = sorted(graph.initializer, key=lambda tensor: place.get(tensor.name, -1))
    rewritten = [onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(t), t.name) for t in ordered]
    del graph.initializer[:]
    graph.initializer.extend(rewritten)


def _short_names(taken: set[str]) -> Iterator[str]:
    """``a``, ``b``, ..., ``9``, ``aa``, ... without those that are taken."""
    for number in count():
        name, rest = "", number
        while True:
            name = DIGITS[rest % len(DIGITS)] + name
            rest = rest // len(DIGITS) - 1
            if rest < 0:
                break
        if name not in taken:
            yield name
