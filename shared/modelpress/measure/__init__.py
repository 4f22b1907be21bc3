"""Measuring on this machine, so that what is compared is measured in turn."""
