"""A load-testing and server-resilience harness for photo-upload servers."""

__version__ = "0.1.0"
