"""What stands below each field of a model in its source."""

from __future__ import annotations

import ast
import inspect
from functools import cache


@cache
def about(model: type) -> str:
    """What the model's own docstring says, on one line; a base's does not count."""
    return " ".join((model.__dict__.get("__doc__") or "").split())


@cache
def meanings(model: type) -> dict[str, str]:
    """The docstring of each field that has one, as it stands there."""
    found: dict[str, str] = {}
    definition = ast.parse(inspect.getsource(model)).body[0]
    assert isinstance(definition, ast.ClassDef)
    for field, below in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            match below:
                case ast.Expr(value=ast.Constant(value=str(words))):
                    found[field.target.id] = inspect.cleandoc(words)
    return found
