"""What the pruner offers; no torch here."""

from modelpress.catalogue import MethodInfo
from modelpress_pruner.methods import l1_filter, network_slimming

METHODS: tuple[MethodInfo, ...] = (l1_filter.INFO, network_slimming.INFO)
