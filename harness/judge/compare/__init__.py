"""Comparing two runs, or several a side."""
