"""What decides: thresholds, validity, verdict."""
