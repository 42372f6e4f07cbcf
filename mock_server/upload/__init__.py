"""From bytes to a stored page: bodies, protocols, digests, readings."""
