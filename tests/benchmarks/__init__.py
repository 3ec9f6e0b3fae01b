"""Measurements: commands of their own, which the test run does not collect."""
