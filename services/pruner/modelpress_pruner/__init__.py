"""The pruner service."""
