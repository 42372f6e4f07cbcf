"""Ways for a photo to come in, one a module; all end in `intake`."""
