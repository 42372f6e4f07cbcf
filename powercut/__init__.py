"""A file system that loses in a power cut what was not synced, for any server on this machine. Knows nothing of the harness."""
