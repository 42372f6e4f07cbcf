"""How near a simulation comes to the run that it predicts: `python -m benchmarks twin`."""
