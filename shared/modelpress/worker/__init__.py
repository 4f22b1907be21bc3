"""modelpress.worker."""
