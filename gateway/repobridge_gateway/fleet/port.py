"""What everybody else knows of a fleet, wherever its runners run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from repobridge.session.events import Cursor
from repobridge_gateway.fleet.status import BridgeStatus, RunnerLink
from repobridge_gateway.notices import NoticeBoard
from repobridge_gateway.watched import Watched


class Bridge(Protocol):
    """A bridge: asleep, or with a runner to talk to."""

    @property
    def name(self) -> str:
        """What people call it."""

    @property
    def llm(self) -> str:
        """The kind of its agent."""

    @property
    def place(self) -> str:
        """Where its work lies: a directory, or a repository's URL."""

    @property
    def board(self) -> NoticeBoard:
        """What is told to everybody who follows it."""

    @property
    def status(self) -> Watched[BridgeStatus]:
        """Where it stands."""

    @property
    def newest(self) -> Cursor | None:
        """The end of its log as far as it is known without waking it."""

    async def awake(self) -> RunnerLink:
        """The runner, woken if need be; raises a Refusal when that fails."""

    def accepted(self, message_id: str) -> None:
        """Remembers that the runner holds a message, though its event may not have come yet."""


class Fleet(Protocol):
    """The bridges that messages may be for."""

    @property
    def bridges(self) -> Mapping[str, Bridge]:
        """Every bridge, by its name."""

    def bridge(self, name: str) -> Bridge:
        """A bridge; a Refusal that lists the known ones where there is none of that name."""
