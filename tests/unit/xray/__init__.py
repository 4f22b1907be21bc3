"""Tests of modelpress.xray."""
