"""A read-only Model Context Protocol server over run folders, for agents: what `harness mcp` serves."""
