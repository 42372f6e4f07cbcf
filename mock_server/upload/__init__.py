"""From the bytes of a request to a stored page and its receipt."""
