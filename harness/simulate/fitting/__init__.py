"""Fits the constants of a simulation, and a model of an external server, to the attempts of measured runs. Pure."""
