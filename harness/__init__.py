"""A load-testing and server-resilience harness for photo-upload servers.

Open a run, simulate or run a scenario from Python:

    import harness

    run = harness.simulate("kaliwates", seed=3)
    run.verdict.verdict, run.pages.df()

What stands behind a name is imported when it is first used (harness/__init__.pyi has the types): the command imports this
package too, and its --help must not wait for NumPy and DuckDB.
"""

from importlib import import_module

__version__ = "0.1.0"

_PUBLIC = {
    "FinishedRun": "harness.api.run",
    "open_run": "harness.api.run",
    "RunFailedError": "harness.api.play",
    "run": "harness.api.play",
    "HarnessError": "harness.base.errors",
    "ConfigurationError": "harness.base.errors",
}
"""Public name -> the module that has it. `simulate` is the package of that name, which can be called."""

__all__ = ["ConfigurationError", "FinishedRun", "HarnessError", "RunFailedError", "open_run", "run", "simulate"]


def __getattr__(name: str) -> object:
    """A public name, imported now."""
    if name == "simulate":
        return import_module("harness.simulate")
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    message = f"module 'harness' has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    """The public names, for completion."""
    return sorted([*__all__, "__version__"])
