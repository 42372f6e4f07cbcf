"""A run in virtual time: the same plan, sessions, links, overload model and faults as a real run, without sockets.

The package can be called: `harness.simulate("kaliwates")` is the function of the Python API (harness/api/play.py). Importing a
module of a package sets the package as an attribute of its parent, so a function of this name could not stay there.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    def __call__(self, *args: Any, **changes: Any) -> Any:
        """What harness.api.play.simulate returns."""
        return import_module("harness.api.play").simulate(*args, **changes)


sys.modules[__name__].__class__ = _CallablePackage
