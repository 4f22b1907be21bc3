"""Fuzzing of what reads bytes that strangers wrote."""
