"""What the distiller offers; no torch here."""

from modelpress.catalogue import MethodInfo
from modelpress_distiller.methods import kd

METHODS: tuple[MethodInfo, ...] = (kd.INFO,)
