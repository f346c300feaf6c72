"""What commands may do to a bridge, wherever it runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, runtime_checkable

from repobridge.errors import Refusal, Status
from repobridge.session.events import MAIN_CONVERSATION, Actor
from repobridge.telemetry import Logger
from repobridge_gateway.channels import Served
from repobridge_gateway.reloading import Reload
from repobridge_gateway.render.reloaded import reload_text

ReloadNow = Callable[[], Awaitable[Reload]]
_log = Logger(__name__)


@runtime_checkable
class Sleeper(Protocol):
    """A bridge that can be put to sleep from here."""

    async def sleep(self) -> None:
        """Has it sleep as soon as its turn ends; raises a Refusal."""


class ServedOperations:
    """Operations on served bridges."""

    def __init__(self, *in_the_way: Callable[[str], str], reload: ReloadNow | None = None) -> None:
        """Each says what is in the way of a channel, as a sentence; empty: nothing is. `reload`
        reads the settings again, where they have a file.
        """
        self._in_the_way = in_the_way
        self._reload = reload

    def idle_seconds(self, served: Served) -> float | None:
        """After how long without a turn a bridge sleeps; None: nobody has said."""
        return served.idle_seconds

    async def sleep(self, served: Served, actor: Actor) -> None:
        """Has a bridge sleep as soon as nothing runs; raises a Refusal where it can't."""
        if not isinstance(served.bridge, Sleeper):
            raise Refusal(
                Status.FAILED_PRECONDITION,
                "NOT_FROM_HERE",
                f"{served.bridge.name} can't be put to sleep from here.",
            )
        _log.info("sleep asked for", bridge=served.bridge.name, user=actor.id)
        await served.bridge.sleep()

    async def reload(self, actor: Actor) -> str:
        """Has the settings read again, and says what came of it; raises a Refusal."""
        if self._reload is None:
            raise Refusal(
                Status.FAILED_PRECONDITION, "NOT_FROM_HERE", "There are no settings to read again."
            )
        _log.info("reload asked for", user=actor.id)
        return reload_text(await self._reload())

    def attach(self, served: Served, conversation: str) -> str:
        """The command line that opens a session's live terminal."""
        other = "" if conversation == MAIN_CONVERSATION else f" --conversation {conversation}"
        return f"{served.attach}{other}"

    def problems(self, channel_id: str) -> Sequence[str]:
        """What is in the way of a channel, as sentences."""
        return tuple(filter(None, [each(channel_id) for each in self._in_the_way]))
