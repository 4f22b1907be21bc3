"""modelpress.cli."""
