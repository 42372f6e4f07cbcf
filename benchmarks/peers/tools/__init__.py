"""The tools that are compared: how each is started, and what its output means."""
