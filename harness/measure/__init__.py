"""What records a run while it happens."""
