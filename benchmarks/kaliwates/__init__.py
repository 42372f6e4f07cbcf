"""What would have saved Kaliwates: every remedy measured and simulated, as the documentation publishes it."""
