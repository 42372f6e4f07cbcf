"""Draws a comparison: its table, its chart, and a page that holds both."""
