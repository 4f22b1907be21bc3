"""modelpress.training."""
