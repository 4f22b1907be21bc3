"""Lifting: an exported aten graph becomes a graph of ``torch.nn`` leaves and enumerated operators."""
