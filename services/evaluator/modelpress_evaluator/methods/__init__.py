"""What the evaluator offers; no torch here."""

from modelpress.catalogue import MethodInfo
from modelpress_evaluator.methods import classification, select

METHODS: tuple[MethodInfo, ...] = (classification.INFO, select.INFO)
