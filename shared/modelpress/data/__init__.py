"""modelpress.data."""
