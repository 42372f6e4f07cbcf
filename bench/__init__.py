"""Measurements; each module is one that `make bench` runs."""
