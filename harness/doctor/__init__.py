"""Whether this machine is fit to measure: checks that measure one thing each, what they found, and what a run may claim."""
