"""modelpress.artifacts."""
