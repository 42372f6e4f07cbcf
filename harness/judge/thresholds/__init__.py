"""Thresholds: parsing, validation, evaluation."""
