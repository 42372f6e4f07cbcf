"""Measurements; not tests: they say what is, and fail nothing."""
