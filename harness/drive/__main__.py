"""The program of a generator process: Locust's own, started sooner.

Before Locust makes the standard library cooperative, it is done here, in the same way: each of its many steps asks all installed
packages for plugins, which takes a fifth of the whole start. Here the packages are read once. Locust then finds it done.
"""

from __future__ import annotations

import runpy
from importlib import metadata

import gevent.monkey


def patch_once() -> None:
    """Patch the standard library as Locust does, plugins included, with one look at what is installed."""
    ask, installed = metadata.entry_points, metadata.entry_points()
    setattr(metadata, "entry_points", installed.select)  # noqa: B010 - a plain assignment is an error for mypy
    try:
        gevent.monkey.patch_all()
    finally:
        metadata.entry_points = ask


if __name__ == "__main__":
    patch_once()
    runpy.run_module("locust", run_name="__main__", alter_sys=True)
