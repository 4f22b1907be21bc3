"""modelpress.config."""
