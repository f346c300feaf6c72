"""What is to be said in a channel, once: rendered pieces, and how each of them gets there.

    PENDING ──▶ TRYING ──▶ DONE
       ▲          ├──────▶ LOST
       └──────────┘ it was not sent: known, or searched for and not found

A piece is committed before its first send and never rendered again. Its nonce makes a repeated
send harmless while Discord remembers it; after that only the channel's own history can tell.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from repobridge.session.events import Cursor
from repobridge_gateway.steady import Steady

NONCE_SECONDS = 120.0
"""How long after its first send a nonce is trusted to make no second message."""


class SendState(Enum):
    """Where a piece stands."""

    PENDING = "pending"
    TRYING = "trying"
    DONE = "done"
    LOST = "lost"


class Attempt(Enum):
    """What to do with the first open piece of a channel."""

    SEND = "send"
    SAME_NONCE = "same nonce"
    """Send it again: if it had arrived, no second one appears."""
    SEARCH = "search"
    """Look for it in the channel first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A rendered piece: `turn` and `index` name it for ever, whoever makes it again."""

    turn: str
    """The turn's id, or a name for whatever else is said, such as "refused <message id>"."""
    index: int
    nonce: str
    channel_id: str
    payload: str
    reply_to: str = ""
    files: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """The first open piece of a channel."""

    send_id: int
    bridge: str
    channel_id: str
    state: SendState
    tried: Steady | None = None
    """Its first send that may have arrived."""

    def attempt(self, now: Steady) -> Attempt:
        """What to do with it; what nobody can tell the age of is searched for."""
        if self.state is SendState.PENDING:
            return Attempt.SEND
        age = now.since(self.tried) if self.tried else None
        is_young = age is not None and 0 <= age < NONCE_SECONDS
        return Attempt.SAME_NONCE if is_young else Attempt.SEARCH


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """A piece whole, to be sent or searched for."""

    send_id: int
    bridge: str
    tries: int
    piece: Outgoing
    after: str = "0"
    """The last message of the channel that surely stood before; told of what is searched for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """The live message of a turn; without an id it may or may not have been sent."""

    bridge: str
    turn: str
    channel_id: str
    nonce: str
    message_id: str = ""
    made_at: float = 0.0
    """By the wall's clock, in seconds since the epoch."""
    begun: Steady | None = None
    is_over: bool = False
    """The turn has ended: what is left is the last edit."""
    read_from: Cursor = field(default_factory=Cursor)
    """Read from here, the log tells all of the turn; of no log while there is no turn."""


@dataclass(frozen=True, slots=True)
class Reached:
    """How far a bridge's log was turned into pieces, and what of that is on its way.

    `open_since` are the places from which its open pieces came: the ends of what had been turned
    into pieces before them.
    """

    cursor: Cursor
    open_since: tuple[Cursor, ...] = ()

    def ack(self) -> Cursor:
        """The furthest place at which everything before is delivered."""
        own = [each.sequence for each in self.open_since if each.log_id == self.cursor.log_id]
        return Cursor(self.cursor.log_id, min([self.cursor.sequence, *own]))


def is_news(reached: Cursor | None, cursor: Cursor) -> bool:
    """Whether a place in a log is beyond what was turned into pieces; another log always is."""
    if reached is None or reached.log_id != cursor.log_id:
        return True
    return cursor.sequence > reached.sequence
