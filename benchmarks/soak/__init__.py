"""The soak test: memory and descriptors stay flat."""
