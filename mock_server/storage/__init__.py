"""What is kept: the SQLite store, resumable uploads, aggregates."""
