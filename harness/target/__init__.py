"""The system under test: connecting, TLS, consent, what it has stored, the mock's admin API."""
