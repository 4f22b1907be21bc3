"""modelpress.graph."""
