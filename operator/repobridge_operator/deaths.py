"""How soon a dead pod is replaced: at once, unless one after the other dies young.

A pod that lived for ten minutes, or whose template has changed since, begins a new count. It never
gives up: a try every five minutes costs nobody anything, and a cause that goes away needs no
person. How many died stands in the pod's annotation; an operator that is killed just between the
deletion of one pod and the creation of the next forgets it, which costs no more than an early try.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from repobridge_operator.podstate import died_at, lived_seconds
from repobridge_operator.resources import naming

STEADY_SECONDS = 600.0
AT_ONCE = 3
"""So many deaths in a row are answered at once."""
_FIRST_SECONDS = 10
_LONGEST_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Replacement:
    """When the next pod may come, and what it has to know."""

    deaths: int
    """How many pods in a row died young: for `make_pod`."""
    wait_seconds: int
    """How long after the death the next one comes; 0: at once."""
    at: datetime

    @property
    def is_crashing(self) -> bool:
        """Whether the deaths have become a habit."""
        return self.wait_seconds > 0


def replacement_of(pod: Mapping[str, Any], *, template_changed: bool) -> Replacement:
    """When a finished pod may be replaced."""
    died = died_at(pod)
    if template_changed:
        return Replacement(deaths=0, wait_seconds=0, at=died)
    before = 0 if lived_seconds(pod) >= STEADY_SECONDS else _deaths_before(pod)
    deaths = before + 1
    wait = 0
    if deaths > AT_ONCE:
        wait = min(_LONGEST_SECONDS, _FIRST_SECONDS * 2 ** min(deaths - AT_ONCE - 1, 16))
    return Replacement(deaths=deaths, wait_seconds=wait, at=died + timedelta(seconds=wait))


def _deaths_before(pod: Mapping[str, Any]) -> int:
    text = (pod["metadata"].get("annotations") or {}).get(naming.ANNOTATION_DEATHS, "0")
    return min(int(text), 1 << 20) if text.isascii() and text.isdigit() else 0
