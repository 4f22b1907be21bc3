"""What cannot be lifted is refused with its reason, and the user's line where there is one."""

from __future__ import annotations

import pytest

from modelpress.errors import ExportError
from modelpress.graph.export import export
from modelpress.testing.zoo.refused import REFUSED


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("what", REFUSED)
def test_it_is_refused_with_its_reason(what: str) -> None:
    refused = REFUSED[what]
    with pytest.raises(ExportError, match=refused.says):
        export(refused.build(), refused.inputs())
