"""Which role of a guild the settings mean by a name: pure, and refused where that could deceive.

Whoever may manage roles may call one as they like, so that a name is good only where nothing in
the guild has the same name or looks like it. What counts after that is the id that was found.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class NameFault(Enum):
    """Why a name is nobody's; the values are a metric's labels."""

    MISSING = "missing"
    AMBIGUOUS = "ambiguous"
    LOOK_ALIKE = "look-alike"


@dataclass(frozen=True, slots=True)
class NameRefused:
    """A name that grants nothing."""

    fault: NameFault
    sentence: str


def role_called(name: str, roles: Mapping[str, str]) -> str | NameRefused:
    """The id of the role that a name means; `roles` has the guild's names by their ids."""
    same = [role_id for role_id, each in roles.items() if each == name]
    alike = sorted({each for each in roles.values() if each != name and _seen(each) == _seen(name)})
    if len(same) > 1:
        return NameRefused(
            NameFault.AMBIGUOUS,
            f'{len(same)} roles are called "{name}"; name the one you mean by its roleId.',
        )
    if not same:
        hint = f'; there is "{alike[0]}"' if alike else ""
        return NameRefused(
            NameFault.MISSING, f'No role is called "{name}"{hint}; name one that is, or a roleId.'
        )
    if alike:
        return NameRefused(
            NameFault.LOOK_ALIKE,
            f'The role "{name}" looks like the role "{alike[0]}"; name it by its roleId.',
        )
    return same[0]


def _seen(name: str) -> str:
    """A name as people take it in."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())
