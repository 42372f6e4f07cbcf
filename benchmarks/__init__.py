"""Benchmarks: measurements of ourselves and of others. They report figures and test nothing; `make bench` runs them."""
