"""What a user writes: scenario and experiment files, their schema, loading, templating and secrets."""
