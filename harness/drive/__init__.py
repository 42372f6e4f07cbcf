"""What sends: virtual users over the harness's own HTTP client, in worker processes that Locust runs."""
