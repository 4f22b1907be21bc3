"""modelpress.constraints."""
