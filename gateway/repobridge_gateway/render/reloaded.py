"""What came of reading the settings again, for whoever asked."""

from __future__ import annotations

from collections.abc import Sequence

from repobridge_gateway.reloading import Reload
from repobridge_gateway.render.inline import escaped
from repobridge_gateway.render.measure import shortened

_PROBLEM_UNITS = 800
"""Each may take an escape beside it."""


def reload_text(reload: Reload) -> str:
    """What is in force now, what waits, or what is wrong."""
    if reload.problem:
        problem = escaped(shortened(reload.problem, _PROBLEM_UNITS))
        lines = ["The settings can't be used; everything is as it was.", problem]
    elif reload.changed:
        lines = [f"In force from now on: {_named(reload.changed)}."]
    else:
        lines = ["Nothing has changed that can change now."]
    if reload.waiting:
        lines.append(f"Changed, and waiting for a restart: {_named(reload.waiting)}.")
    return "\n".join(lines)


def _named(settings: Sequence[str]) -> str:
    return ", ".join(f"`{each}`" for each in settings)
