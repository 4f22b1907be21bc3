"""modelpress.measure."""
