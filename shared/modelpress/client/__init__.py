"""modelpress.client."""
