"""Errors and exit codes, domain types, bounded files, signals, addresses, host facts. Imports no other package of the harness."""
