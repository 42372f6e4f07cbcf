"""What sends: stations' evenings over our own small HTTP client, driven by Locust."""
