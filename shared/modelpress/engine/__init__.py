"""modelpress.engine."""
