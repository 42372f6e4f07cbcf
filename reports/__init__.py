"""Draws a finished (or broken-off) run."""
