"""Running under stock Locust: its options, users and mock server."""
