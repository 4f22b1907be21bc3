"""The parts of the x-ray's page."""
