"""What we may not do in the channels that we serve, told before anything fails of it.

Much of what is missing fails without a word: without the history nothing that was missed is found,
and without reactions nobody sees that a message has arrived.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from repobridge.telemetry import Logger
from repobridge_gateway.channels import Channels

LOOK_SECONDS = 15.0
"""Looking costs no request: Discord tells of each change."""
_log = Logger(__name__)


class Rights:
    """Looks after the permissions of every served channel."""

    def __init__(
        self,
        lacks: Callable[[str], Sequence[str]],
        channels: Channels,
        *,
        permitted: Callable[[str], None],
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        """`lacks` names what is missing in a channel; `permitted` hears where less is."""
        self._lacks = lacks
        self._channels = channels
        self._permitted = permitted
        self._look_seconds = look_seconds
        self._missing: dict[str, tuple[str, ...]] = {}

    def problem(self, channel_id: str) -> str:
        """What is missing in a channel, as a sentence; empty where nothing is."""
        missing = ", ".join(self._lacks(channel_id))
        if not missing:
            return ""
        return f"Permissions that I need are missing here: {missing}; my role has to get them."

    async def run(self) -> None:
        """Tells of each change in the log until it is cancelled."""
        while True:
            self._look()
            try:
                async with asyncio.timeout(self._look_seconds):
                    await self._channels.served.changed()
            except TimeoutError:
                pass

    def _look(self) -> None:
        served = self._channels.served.value
        for channel_id in self._missing.keys() - served.keys():
            del self._missing[channel_id]
        for channel_id, each in served.items():
            before, now = self._missing.get(channel_id, ()), tuple(self._lacks(channel_id))
            if now == before:
                continue
            self._missing[channel_id] = now
            log = _log.bind(channel=channel_id, bridge=each.bridge.name)
            if now:
                log.warning("permissions missing", missing=", ".join(now))
            else:
                log.info("permissions complete")
            if set(before) - set(now):
                self._permitted(channel_id)
