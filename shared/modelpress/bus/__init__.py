"""modelpress.bus."""
