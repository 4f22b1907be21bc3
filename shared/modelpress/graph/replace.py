"""Putting a chain of layers where one was: how low-rank factors enter a graph."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

from torch import fx, nn

from modelpress.errors import InputError, NotFoundError, nearest
from modelpress.graph import leaves, names
from modelpress.graph.model import Model
from modelpress.graph.shapes import shapes_of


def replace_by_chain(model: Model, path: str, chain: Sequence[nn.Module]) -> Model:
    """A new model in which the leaf at ``path`` is ``chain``, called in order; ``model`` is not touched.

    The links are called ``path_0``, ``path_1``...; tensors of all other leaves are shared with ``model``. Every call
    of the leaf is replaced, so a layer that is called many times stays one chain.

    Args:
        chain: leaf types of the format; the first takes what the leaf took, the last gives what it gave.

    Raises:
        NotFoundError: no leaf is called by that path; offers the nearest.
        InputError: an empty chain, a module that is no leaf of the format, a leaf of several inputs, or shapes that
            do not fit.
    """
    _check(model, path, chain)
    module = _sharing_copy(model.module)
    links = [_add(module, path, i, link) for i, link in enumerate(chain)]
    calls = [n for n in module.graph.nodes if n.op == "call_module" and n.target == path]
    results = {call.name: _splice(module.graph, call, links) for call in calls}
    module.delete_submodule(path)
    module.graph.lint()
    module.recompile()
    changed = model.with_(module=module)
    _check_shapes(model, changed, path, results)
    return changed


def _check(model: Model, path: str, chain: Sequence[nn.Module]) -> None:
    known = [p for p, _ in model.leaves()]
    if path not in known:
        raise NotFoundError(f"the model calls no leaf '{path}': {nearest(path, known)}")
    if not chain:
        raise InputError(f"'{path}' would be replaced by nothing; give at least one layer")
    for i, link in enumerate(chain):
        kind = leaves.leaf_type(link)
        if kind not in leaves.CONFIGS:
            raise InputError(f"chain[{i}] is a {kind}; the format's leaves are {', '.join(leaves.CONFIGS)}")


def _sharing_copy(module: fx.GraphModule) -> fx.GraphModule:
    """A copy of the graph and the module tree that shares every tensor."""
    tensors = [*module.parameters(), *module.buffers()]
    return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})


def _add(module: fx.GraphModule, path: str, position: int, link: nn.Module) -> str:
    link_path = f"{path}_{position}"
    taken = dict(module.named_modules())
    while link_path in taken:
        link_path += "_"
    if not names.is_path(link_path) or not module.add_submodule(link_path, link):
        raise InputError(f"'{link_path}' cannot hold a layer of the chain")
    return link_path


def _splice(graph: fx.Graph, node: fx.Node, links: Sequence[str]) -> fx.Node:
    """Call the links instead of ``node``; returns the call of the last one."""
    if len(node.args) != 1 or not isinstance(node.args[0], fx.Node):
        raise InputError(f"'{node.target}' takes {len(node.args)} inputs; only a layer of one can become a chain")
    value = node.args[0]
    with graph.inserting_before(node):
        for link in links:
            value = graph.call_module(link, (value,))
    node.replace_all_uses_with(value)
    graph.erase_node(node)
    return value


def _check_shapes(model: Model, changed: Model, path: str, results: Mapping[str, fx.Node]) -> None:
    """The chain gives what the leaf gave."""
    try:
        after = shapes_of(changed)
    except (RuntimeError, IndexError, TypeError, ValueError) as e:
        raise InputError(f"the chain does not fit in place of '{path}': {str(e).partition(chr(10))[0]}") from e
    before = {node.name: shape for node, shape in shapes_of(model).items()}
    for call, result in results.items():
        if after[result] != before[call]:
            raise InputError(f"the chain in place of '{path}' gives {after[result]}, not {before[call]}")
