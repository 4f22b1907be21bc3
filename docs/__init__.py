"""The documentation; `docs.images` makes its pictures."""
