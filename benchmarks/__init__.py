"""Benchmarks: measurements of ourselves and of others. They report figures and are no tests; `make bench` runs them."""
