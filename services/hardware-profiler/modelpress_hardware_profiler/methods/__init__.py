"""What the hardware-profiler offers; no torch here."""

from modelpress.catalogue import MethodInfo
from modelpress_hardware_profiler.methods import latency

METHODS: tuple[MethodInfo, ...] = (latency.INFO,)
