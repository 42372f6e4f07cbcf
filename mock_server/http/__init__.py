"""Requests and responses: routes, authentication, admin and public APIs, metrics."""
