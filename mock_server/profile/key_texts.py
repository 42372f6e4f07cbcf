"""The texts below a model's keys, read from its source."""

from __future__ import annotations

import ast
import inspect
import textwrap
from functools import cache
from itertools import pairwise

from pydantic import BaseModel


@cache
def _own_texts(model: type[BaseModel]) -> dict[str, str]:
    source = ast.parse(textwrap.dedent(inspect.getsource(model)))
    return _texts_below(next(node for node in source.body if isinstance(node, ast.ClassDef)).body)


def key_texts(model: type[BaseModel]) -> dict[str, str]:
    """The string below each key of a model or of the models that it inherits from, as a docstring is cleaned.

    pydantic does the same with `use_attribute_docstrings`, but whenever a class is made: that took each process of a run
    longer than all other imports of the scenario together. Only the documentation and JSON Schemas show these texts.
    """
    texts: dict[str, str] = {}
    for owner in reversed(model.__mro__):
        if issubclass(owner, BaseModel) and owner is not BaseModel and not owner.__pydantic_generic_metadata__["args"]:
            texts.update(_own_texts(owner))
    return texts


def _texts_below(body: list[ast.stmt]) -> dict[str, str]:
    found = {}
    for key, text in pairwise(body):
        if (
            isinstance(key, ast.AnnAssign)
            and isinstance(key.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
            and isinstance(text.value.value, str)
        ):
            found[key.target.id] = inspect.cleandoc(text.value.value)
    return found
