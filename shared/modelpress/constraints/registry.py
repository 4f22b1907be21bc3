"""The constraints that the format knows, by their name in files. A new one is a line here, a class, and its test."""

from collections.abc import Mapping

from modelpress.constraints.dequantize import Dequantize
from modelpress.constraints.mask import Mask
from modelpress.constraints.protocol import Constraint

CONSTRAINTS: Mapping[str, type[Constraint]] = {c.kind.name: c for c in (Dequantize, Mask)}
