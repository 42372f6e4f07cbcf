"""Draws an experiment: its table, its two charts, and a page that links every run."""
