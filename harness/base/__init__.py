"""Errors and exit codes, domain types, safe files, signals, addresses, host facts. Imports nothing else of the harness."""
