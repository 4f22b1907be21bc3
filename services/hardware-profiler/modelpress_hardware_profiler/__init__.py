"""The hardware-profiler service."""
