"""Sockets: listeners, connections, TLS, framing."""
