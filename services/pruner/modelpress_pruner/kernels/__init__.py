"""Tensor code, one file a method; imported by workers only."""
