"""What the distiller offers; no torch here."""

from modelpress.catalogue import MethodInfo

METHODS: tuple[MethodInfo, ...] = ()
