"""What the quantizer offers; no torch here."""

from modelpress.catalogue import MethodInfo
from modelpress_quantizer.methods import package, ptq_int8, untrained_int8

METHODS: tuple[MethodInfo, ...] = (package.INFO, ptq_int8.INFO, untrained_int8.INFO)
