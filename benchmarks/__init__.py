"""Measurements; not tests: they say what is, and fail nothing. Each module is one that `make bench` runs."""
