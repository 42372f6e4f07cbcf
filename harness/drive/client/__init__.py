"""The HTTP client: one small HTTP/1.1 implementation on gevent, and one module per upload protocol on top of it."""
