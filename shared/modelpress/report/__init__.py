"""The report of a run: one HTML file that says what came out and how to repeat it."""
