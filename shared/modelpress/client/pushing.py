"""What is pushed: a module exported or an archive read, under a name that can be one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from modelpress.artifacts.names import check_tag
from modelpress.errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from modelpress.graph.inputs import Dynamic, ExampleInputs
    from modelpress.graph.model import Model


def model_of(net: nn.Module | str | Path, example_inputs: ExampleInputs | None, dynamic: Dynamic | None) -> Model:
    """A module exported, or an archive read; see `Client.push_model`."""
    if isinstance(net, str | Path):
        from modelpress.graph.pt2.reader import read_pt2

        if example_inputs is not None or dynamic is not None:
            raise InputError(f"'{net}' is an archive, which knows its inputs; leave example_inputs and dynamic out")
        return read_pt2(net)
    from modelpress.graph.export import export

    if example_inputs is None:
        raise InputError("example_inputs is missing; give the tensors [batch, ...] that the module is called with")
    return export(net, example_inputs, dynamic=dynamic)


def check_name(name: str | None) -> None:
    """Refuse a name that can be no tag before anything is written.

    Raises:
        InputError: it can be none.
    """
    if name:
        check_tag(name)
