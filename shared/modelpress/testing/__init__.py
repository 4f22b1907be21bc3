"""modelpress.testing."""
