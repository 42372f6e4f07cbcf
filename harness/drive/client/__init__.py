"""Uploading: one module a protocol over one small HTTP client."""
