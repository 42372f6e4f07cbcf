"""The overload model: pool of workers, admission, adaptive limits. Pure: time is an argument."""
