"""Which channel is which bridge's, and which conversation something in it belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from repobridge.crd_access import Limits
from repobridge.session.events import MAIN_CONVERSATION
from repobridge_gateway.access import AccessSource
from repobridge_gateway.chat import Place
from repobridge_gateway.fleet.port import Bridge
from repobridge_gateway.render.wake import WakeStage
from repobridge_gateway.watched import Watched


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A bridge, and how its channel uses it."""

    uid: str
    bridge: Bridge
    channel_id: str
    created_at: float
    """When the bridge was made: what was written before is not for it."""
    access: AccessSource
    """Whose rules hold in its channel."""
    limits: Limits | None = None
    """What it says itself of how much."""
    require_mention: bool = False
    threads_are_sessions: bool = True
    """False: the channel and its threads are one conversation."""
    attachment_threshold: int = 1500
    """Characters of an answer beyond which it comes as a file."""
    streaming: bool = True
    """Whether a message shows the turn while it runs."""
    model: str = ""
    """What it uses where nobody chose another; empty: the agent's own choice."""
    stages: tuple[WakeStage, ...] = tuple(WakeStage)
    """What a wake goes through."""
    idle_seconds: float | None = None
    """After how long without a turn it sleeps; None: nobody has said."""
    attach: str = ""
    """The command that opens its live terminal; a session's follows as `--conversation ID`."""


class Channels(Protocol):
    """The bridges that have a channel, as they are now."""

    @property
    def served(self) -> Watched[Mapping[str, Served]]:
        """Each by the id of its channel."""


class FixedChannels:
    """Bridges that stay as they are."""

    def __init__(self, served: Iterable[Served]) -> None:
        self.served: Watched[Mapping[str, Served]] = Watched(
            {each.channel_id: each for each in served}
        )


def served_at(channels: Channels, place: Place) -> Served | None:
    """Whose channel, or whose channel's thread, a place is; the parent has to be known."""
    found = channels.served.value
    return found.get(place.channel_id) or found.get(place.parent_id or "")


def served_by(channels: Channels, uid: str) -> Served | None:
    """A bridge by its UID."""
    return next((each for each in channels.served.value.values() if each.uid == uid), None)


def conversation_of(served: Served, place: Place) -> str:
    """The conversation of a place: a channel's own, or its thread's."""
    if place.channel_id == served.channel_id or not served.threads_are_sessions:
        return MAIN_CONVERSATION
    return place.channel_id
