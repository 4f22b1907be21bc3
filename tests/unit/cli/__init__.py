"""Tests of modelpress.cli."""
