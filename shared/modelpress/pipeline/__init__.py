"""modelpress.pipeline."""
