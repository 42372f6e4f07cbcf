"""What every HTTP request goes through: middleware, authentication, faults, problems, metrics."""
