"""Deployable files of models: written, stripped, and checked against the graph that they came from."""
