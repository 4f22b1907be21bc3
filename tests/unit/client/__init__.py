"""Tests of modelpress.client."""
