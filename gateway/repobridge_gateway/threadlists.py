"""Finds the channels and threads that may have missed messages, and of which nobody told us.

Until the threads of a guild and of a channel are listed, any thread may have been written in while
nobody listened; from then on, one that nobody knows was made since.
"""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import Protocol

from repobridge.telemetry import Logger
from repobridge_gateway.channels import Served
from repobridge_gateway.chat import ArchivedThread, ArchivePage, ChatError, Fault, Place
from repobridge_gateway.store.port import GapStore

_KNOWN_PLACES = 10_000
_MOST_PAGES = 100
"""Of one list of a channel's archive."""
_CHANNEL_GONE = frozenset({10003, 10004})
_FINAL = frozenset({Fault.FORBIDDEN, Fault.REJECTED})
_log = Logger(__name__)
Job = tuple[str, Callable[[], Awaitable[None]]]
"""Something to do, and what it is called: one of a name is done at a time."""


class Listing(Protocol):
    """Where threads are listed; each call raises ChatError."""

    async def place(self, channel_id: str) -> Place:
        """Where a channel is."""

    async def active_threads(self, guild_id: str) -> Sequence[Place]:
        """The threads of a guild that are not archived."""

    async def archived_threads(self, channel_id: str, *, before: str = "") -> ArchivePage:
        """The public threads that were archived before a time, the last one first."""

    async def archived_with_us(self, channel_id: str, *, before: str = "") -> ArchivePage:
        """The archived private threads we are in that were made before one, the last first."""


class ThreadLists:
    """What of the threads is known since the last connection."""

    def __init__(
        self,
        listing: Listing,
        gaps: GapStore,
        hold: Callable[[Place], Awaitable[None]],
        *,
        begins: Callable[[str], float],
    ) -> None:
        """`hold` is awaited with each place that may have missed something; `begins` says from when
        on anything in a channel is for us, in seconds since the epoch.
        """
        self._begins = begins
        self._listing = listing
        self._gaps = gaps
        self._hold = hold
        self._connection = 0
        self._to_find: set[str] = set()
        self._guilds: set[str] = set()
        self._listed: set[str] = set()
        """Channels and guilds."""
        self._places: dict[str, Place] = {}

    def begin_anew(self) -> None:
        """Trusts no list any more."""
        self._connection += 1
        self._guilds.clear()
        self._listed.clear()

    def find(self, channel_id: str) -> None:
        """Has a channel held of which only the id is known."""
        self._to_find.add(channel_id)

    def is_new(self, place: Place) -> bool:
        """Whether a thread that has no cursor was made since we listen."""
        return bool(place.parent_id) and {place.parent_id, place.guild_id} <= self._listed

    def is_listed(self, served: Served) -> bool:
        """Whether all of a channel's threads that there are to be held were."""
        return served.channel_id in self._listed and self._guilds <= self._listed

    def remember(self, place: Place) -> None:
        """Notes where a channel is, which never changes."""
        if place.guild_id and place.parent_id is not None:
            self._places[place.channel_id] = place
            if len(self._places) > _KNOWN_PLACES:
                del self._places[next(iter(self._places))]

    async def place_of(self, channel_id: str) -> Place:
        """Where a channel is; raises ChatError."""
        known = self._places.get(channel_id)
        if known is None:
            known = await self._listing.place(channel_id)
            self.remember(known)
        return known

    def jobs(self, channel_ids: Iterator[str]) -> Iterator[Job]:
        """What is to be listed, of these channels and their guilds."""
        for channel_id in tuple(self._to_find):
            yield f"find {channel_id}", partial(self._find, channel_id)
        for guild_id in self._guilds - self._listed:
            yield f"active {guild_id}", partial(self._list_active, guild_id)
        for channel_id in channel_ids:
            if channel_id not in self._listed:
                yield f"archived {channel_id}", partial(self._list_archived, channel_id)

    async def _find(self, channel_id: str) -> None:
        try:
            await self._hold(await self.place_of(channel_id))
        except ChatError as error:
            if not is_final(error):
                raise
            _log.info("channel not found", channel=channel_id, error=str(error))
        self._to_find.discard(channel_id)

    async def _list_archived(self, channel_id: str) -> None:
        """Holds a channel's archived threads in which something was said since."""
        connection = self._connection
        try:
            place = await self.place_of(channel_id)
            if connection == self._connection:
                self._guilds.add(place.guild_id)
            through = await self._gaps.archived_through(channel_id)
            newest = await self._hold_public(channel_id, through)
            await self._hold_private(channel_id, through)
            if newest != through:
                await self._gaps.listed(channel_id, archived_through=newest)
        except ChatError as error:
            if not is_final(error):
                raise
            _log.warning("threads not listed", channel=channel_id, error=str(error))
        self._is_listed(channel_id, connection)

    async def _hold_public(self, channel_id: str, through: str) -> str:
        """Holds those archived since the last listing; when the newest of all was archived.

        What is archived is archived after its last message: what the last listing showed can have
        got none since, or it would have been archived again.
        """
        newest, before = through, ""
        since = max(_seconds(through), self._begins(channel_id))
        for _ in range(_MOST_PAGES):
            page = await self._listing.archived_threads(channel_id, before=before)
            if page.threads and not before:
                newest = page.threads[0].archived_at
            fresh = [each for each in page.threads if _seconds(each.archived_at) > since]
            await asyncio.gather(*map(self._hold_if_newer, fresh))
            if not page.has_more or len(fresh) < len(page.threads):
                return newest
            before = page.threads[-1].archived_at
        _log.warning("too many threads to list", channel=channel_id)
        return newest

    async def _hold_private(self, channel_id: str, through: str) -> None:
        """The same of those that we are in; their list is in the order in which they were made."""
        since = max(_seconds(through), self._begins(channel_id))
        before = ""
        for _ in range(_MOST_PAGES):
            page = await self._listing.archived_with_us(channel_id, before=before)
            fresh = [each for each in page.threads if _seconds(each.archived_at) > since]
            await asyncio.gather(*map(self._hold_if_newer, fresh))
            if not page.has_more or not page.threads:
                return
            before = page.threads[-1].place.channel_id
        _log.warning("too many threads to list", channel=channel_id)

    async def _hold_if_newer(self, thread: ArchivedThread) -> None:
        cursor = await self._gaps.cursor(thread.place.channel_id)
        if int(thread.last_message_id) > int(cursor or 0):
            await self._hold(thread.place)

    async def _list_active(self, guild_id: str) -> None:
        """Holds a guild's threads."""
        connection = self._connection
        found: Sequence[Place] = ()
        try:
            found = await self._listing.active_threads(guild_id)
        except ChatError as error:
            if not is_final(error):
                raise
            _log.warning("threads not listed", guild=guild_id, error=str(error))
        await asyncio.gather(*map(self._hold, found))
        self._is_listed(guild_id, connection)

    def _is_listed(self, name: str, connection: int) -> None:
        if connection == self._connection:
            self._listed.add(name)


def _seconds(told: str) -> float:
    """A time that Discord told, in seconds since the epoch; of none, 0."""
    return datetime.datetime.fromisoformat(told).timestamp() if told else 0.0


def is_final(error: ChatError) -> bool:
    """Whether Discord itself said that it will go on saying so."""
    if error.fault is Fault.GONE:
        return error.code in _CHANNEL_GONE
    return error.fault in _FINAL and error.code != 0
