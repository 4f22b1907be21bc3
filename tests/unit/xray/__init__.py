"""Tests of modelpress.report."""
