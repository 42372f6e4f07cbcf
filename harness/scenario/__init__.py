"""Scenario and experiment files: schema, loading, placeholders and secrets in texts."""
