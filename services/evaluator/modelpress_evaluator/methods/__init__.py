"""What the evaluator offers; no torch here."""

from modelpress.catalogue import MethodInfo

METHODS: tuple[MethodInfo, ...] = ()
