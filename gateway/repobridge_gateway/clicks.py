"""Decisions that were asked for in a channel, and the clicks that make them: the first one wins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from repobridge_gateway.chat import Person

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_RANDOM_BYTES = 10


class Standing(Enum):
    """What a click comes to."""

    WON = "won"
    """It is the decision, and is to be carried out."""
    TAKEN = "taken"
    """Somebody was first."""
    OVER = "over"
    """It was decided elsewhere, or nobody waits for it any more."""
    UNKNOWN = "unknown"
    """Nothing of this name was ever asked here, or long ago."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A decision that somebody is asked for, with the piece that shows it."""

    ulid: str
    """Stands in the buttons' ids: says nothing, and carries no authority."""
    request_id: str
    bridge: str
    conversation: str
    kind: str
    channel_id: str
    nonce: str
    """Of the piece with the buttons."""
    input_sha256: str = ""
    expires_at: float | None = None
    message_id: str = ""
    """Of the message with the buttons, once it is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Click:
    """What somebody chose, with the roles that they had at that moment."""

    interaction_id: str
    ulid: str
    person: Person
    verdict: str
    """What to decide, as its writer's JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clicked:
    """What came of a click."""

    standing: Standing
    is_new: bool = True
    """False: this very click was here before."""
    asked: Asked | None = None
    winner: Click | None = None
    """Whose decision it is."""


def make_ulid(now: float, *, random: Callable[[int], bytes]) -> str:
    """26 characters that nobody guesses and that sort by time; `random` makes so many bytes."""
    number = (int(now * 1000) & (1 << 48) - 1) << 80 | int.from_bytes(random(_RANDOM_BYTES), "big")
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))
