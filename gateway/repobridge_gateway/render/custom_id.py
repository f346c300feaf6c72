"""What the buttons, lists and forms of our messages are called: `rb1:<kind>:<ulid>:<verb>`.

It names what was clicked, and carries no authority: who clicks may have made it up.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

PREFIX = "rb1"
_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_CUSTOM_ID = re.compile(
    rf"{PREFIX}:([a-z]+):({_ULID.pattern}):([a-z]+)(?:\.(0|[1-9]\d{{0,2}}))?(?:\.(0|[1-9]\d{{0,2}}))?"
)


class Kind(StrEnum):
    """What the ULID is of."""

    TURN = "turn"
    APPROVAL = "approval"
    PLAN = "plan"
    QUESTION = "question"
    MISSED = "missed"
    """Its key is made of a gap's number."""


class Verb(StrEnum):
    """What a click asks for; of a question, numbers say which question, and which option."""

    STOP = "stop"
    CONTINUE = "continue"
    DISCARD = "discard"
    ONCE = "once"
    SESSION = "session"
    ALWAYS = "always"
    DENY = "deny"
    """Opens the form for the reason, and is what the form is called."""
    APPROVE = "approve"
    REVISE = "revise"
    """Opens the form for what to change, and is what the form is called."""
    CHOOSE = "choose"
    """A list's choice, or with a second number a button's."""
    WRITE = "write"
    """Opens the form for an answer in own words, and is what the form is called."""
    SKIP = "skip"
    TEXT = "text"
    """The field of a form."""
    RUN = "run"


_VERBS = {
    Kind.TURN: frozenset({Verb.STOP, Verb.CONTINUE, Verb.DISCARD}),
    Kind.APPROVAL: frozenset({Verb.ONCE, Verb.SESSION, Verb.ALWAYS, Verb.DENY, Verb.TEXT}),
    Kind.PLAN: frozenset({Verb.APPROVE, Verb.REVISE, Verb.TEXT}),
    Kind.QUESTION: frozenset({Verb.CHOOSE, Verb.WRITE, Verb.SKIP, Verb.TEXT}),
    Kind.MISSED: frozenset({Verb.RUN, Verb.DISCARD}),
}
_NUMBERS = {Verb.CHOOSE: (1, 2), Verb.WRITE: (1, 1), Verb.SKIP: (0, 0), Verb.TEXT: (0, 1)}


@dataclass(frozen=True, slots=True)
class CustomId:
    """What was clicked."""

    kind: Kind
    key: str
    verb: Verb
    numbers: tuple[int, ...] = ()

    def __str__(self) -> str:
        return make_custom_id(self.kind, self.key, self.verb, *self.numbers)


def make_custom_id(kind: Kind, key: str, verb: Verb, *numbers: int) -> str:
    """The name of something to click; ValueError where it could not be read again."""
    text = f"{PREFIX}:{kind}:{key}:{verb}" + "".join(f".{number}" for number in numbers)
    if parse_custom_id(text) is None:
        raise ValueError(f"{text!r} is no name for something to click")
    return text


def parse_custom_id(text: str) -> CustomId | None:
    """What a name names; None where it is none of ours, whole and as we write it."""
    found = _CUSTOM_ID.fullmatch(text) if text.isascii() else None
    if found is None:
        return None
    try:
        kind, verb = Kind(found[1]), Verb(found[3])
    except ValueError:
        return None
    numbers = tuple(int(each) for each in (found[4], found[5]) if each is not None)
    least, most = _NUMBERS.get(verb, (0, 0))
    if verb not in _VERBS[kind] or not least <= len(numbers) <= most:
        return None
    return CustomId(kind, found[2], verb, numbers)
