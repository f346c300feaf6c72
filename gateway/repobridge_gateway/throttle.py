"""Holds what goes to an agent to the limits of rate: it is charged first, once under its id.

Who goes on writing beyond a limit is told so once, and not each time: the answers would be a flood
of their own.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from repobridge.crd_access import Limits
from repobridge.errors import Refusal, Status
from repobridge.telemetry import Logger
from repobridge_gateway.access import Permission
from repobridge_gateway.authority import Authority
from repobridge_gateway.channels import Served
from repobridge_gateway.chat import Person, Place
from repobridge_gateway.limits.bucket import Bucket
from repobridge_gateway.limits.ledger import Charge, Ledger, Take
from repobridge_gateway.limits.policy import Asker, Said, takes_for
from repobridge_gateway.metrics import GatewayMetrics
from repobridge_gateway.toldonce import ToldOnce

_SENTENCES = {
    "user": "That came too soon after your last messages, so it was not run",
    "window": "That is more than you may ask in this time, so it was not run",
    "channel": "More is written here than is allowed at once, so that was not run",
}
_log = Logger(__name__)


@dataclass(frozen=True, slots=True)
class Denied:
    """There is no room for a message."""

    until: float
    """From when on there is, in seconds since the epoch."""
    sentence: str = ""
    """What its author reads; empty: that was told a moment ago."""


class Throttle:
    """Charges messages; each call raises what the ledger does, and may be repeated then."""

    def __init__(
        self,
        ledger: Callable[[], Ledger],
        *,
        authority: Authority,
        metrics: GatewayMetrics | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`ledger` gives what remembers, or raises a Refusal while there is none."""
        self._ledger = ledger
        self._authority = authority
        self._metrics = metrics or GatewayMetrics()
        self._clock = clock
        self._told = ToldOnce()

    async def charge(
        self, message_id: str, *, served: Served, person: Person, place: Place
    ) -> Denied | None:
        """Takes what a person's message takes; None: there is room for it.

        Of somebody whose roles nobody knows, what is said of everybody holds.
        """
        access = served.access.at(place.guild_id)
        asker = Asker(
            guild_id=place.guild_id,
            bridge=served.uid,
            user_id=person.user_id,
            said=tuple(Said(role_id=r.role_id, limits=r.limits) for r in access.of(person)),
            has_unlimited_rate=access.may(person, Permission.UNLIMITED_RATE),
        )
        over = await self._over(message_id, asker, limits=served.limits)
        if over is None:
            return None
        take, until = over
        limit = _name_of(take)
        self._metrics.limited(limit)
        _log.info(
            "message limited",
            channel=place.channel_id,
            message_id=message_id,
            limit=limit,
            user=person.user_id,
        )
        now = self._clock()
        if self._told.has_told(place.channel_id, take.subject, message_id, now=now, until=until):
            return Denied(until)
        when = f"<t:{math.ceil(until)}:R>"
        return Denied(until, f"{_SENTENCES[limit]}; it can be sent again {when}.")

    async def charge_terminal(self, message_id: str, *, uid: str, name: str) -> None:
        """Takes what a message from a terminal takes; raises a Refusal where there is no room.

        Of who is there no id is known, and nobody's server: the channel's limit is for them too, as
        the settings have it for all.
        """
        asker = Asker(guild_id="", bridge=uid)
        over = await self._over(message_id, asker, limits=None)
        if over is None:
            return
        self._metrics.limited("channel")
        _log.info("message limited", bridge=name, message_id=message_id, limit="channel")
        seconds = max(1, math.ceil(over[1] - self._clock()))
        raise Refusal(
            Status.RESOURCE_EXHAUSTED,
            "RATE_LIMITED",
            f"More is written to {name} than is allowed at once; it can be sent again in"
            f" {seconds} s.",
        )

    async def _over(
        self, message_id: str, asker: Asker, *, limits: Limits | None
    ) -> tuple[Take, float] | None:
        """The limit that refuses a message, and until when."""
        levels = self._authority.levels(asker.guild_id, bridge=limits)
        takes = takes_for(asker, levels)
        if not takes:
            return None
        charge = Charge(guild_id=asker.guild_id, message_id=message_id, takes=takes)
        answer = await self._ledger().charge(charge)
        if answer.is_granted:
            return None
        # An answer of earlier may name a limit that is none any more: the first stands for it.
        named = next((take for take in takes if take.slot == answer.refused_by), takes[0])
        return named, answer.until


def _name_of(take: Take) -> str:
    """What kind of limit it is, for people and for the metric."""
    if take.subject.startswith("channel:"):
        return "channel"
    return "user" if isinstance(take.limit, Bucket) else "window"
