"""What the quantizer offers; no torch here."""

from modelpress.catalogue import MethodInfo
from modelpress_quantizer.methods import ptq_int8

METHODS: tuple[MethodInfo, ...] = (ptq_int8.INFO,)
