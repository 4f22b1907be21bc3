"""What the evaluator offers; no torch here."""

from modelpress.catalogue import MethodInfo
from modelpress_evaluator.methods import classification

METHODS: tuple[MethodInfo, ...] = (classification.INFO,)
