"""Kinds of faults, one a module; `registry` lists them."""
