"""Brings in what people wrote while nobody listened: each channel's history fills its gap.

After a connection that is not resumed, and after an event that was not kept, a channel's cursor is
trusted no more. `hold` opens its gap before anything newer can move the cursor, which is why it is
awaited before whatever is kept; `run` opens the others', finds the threads, and reads history page
by page. Gaps stand in the store, so that a crash in between takes up where the last page ended.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from enum import Enum
from functools import partial
from typing import Protocol

from repobridge.errors import Refusal
from repobridge.telemetry import Logger
from repobridge_gateway import commands
from repobridge_gateway.channels import Channels, Served, conversation_of, served_at
from repobridge_gateway.chat import ChatError, ChatMessage, Fault, Place, snowflake_at
from repobridge_gateway.commands import ToAgent
from repobridge_gateway.pacer import Overloaded
from repobridge_gateway.pauses import Pauses
from repobridge_gateway.render.missed import render_missed
from repobridge_gateway.speech import outgoing
from repobridge_gateway.store.port import Gap, Say, Store
from repobridge_gateway.threadlists import Job, Listing, ThreadLists, is_final

AT_ONCE = 16
"""Jobs under way, each with one request: the rest of Discord's limit is for what people wait for.
"""
REACHES_BACK_SECONDS = 30 * 24 * 3600.0
"""Runners know the ids of messages for so long: what is older might be run a second time."""
_UNKNOWN_MESSAGE = 10008
_log = Logger(__name__)


class Ending(Enum):
    """How a gap ended; the values are a metric's labels."""

    FILLED = "filled"
    UNREADABLE = "unreadable"
    """We may not read the channel's history."""
    GONE = "gone"


class Chat(Listing, Protocol):
    """Where history is read; each call raises ChatError, and Overloaded where too many wait."""

    async def after(self, place: Place, message_id: str) -> tuple[Sequence[ChatMessage], str]:
        """What people wrote after a message, and the last id of the page; empty at the end."""

    async def message(self, place: Place, message_id: str) -> ChatMessage | None:
        """What somebody wrote; None for what no person did."""


class CatchUp:
    """The way of history into the store."""

    def __init__(
        self,
        store: Store,
        chat: Chat,
        channels: Channels,
        *,
        work: Callable[[str], None] = lambda uid: None,
        said: Callable[[], None] = lambda: None,
        settled: Callable[[str], None] = lambda uid: None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        pauses: Pauses | None = None,
        at_once: int = AT_ONCE,
    ) -> None:
        """`work` hears of a bridge that has messages to run; `said` that the outbox has more;
        `settled` whose pieces were given up, as their channel is gone.
        """
        self.endings: Counter[Ending] = Counter()
        """How the gaps so far ended."""
        self._store = store
        self._chat = chat
        self._channels = channels
        self._work = work
        self._said = said
        self._settled = settled
        self._clock = clock
        self._monotonic = monotonic
        self._at_once = at_once
        self._pauses = pauses or Pauses()
        self._busy: set[str] = set()
        self._gaps: dict[str, Gap] = {}
        """Every open gap by its channel; whose turn was longest ago is first."""
        self._is_loaded = False
        self._connections = 0
        self._overflows: Counter[str] = Counter()
        self._covered: set[str] = set()
        """Channels that missed nothing since their gap was opened."""
        self._edited: set[str] = set()
        self._threads = ThreadLists(chat, store.gaps, self.hold, begins=self._begins)
        self._changed = asyncio.Event()
        self._is_done = asyncio.Event()

    # ------------------------------------------------------- what others say

    def connected(self, *, resumed: bool) -> None:
        """Says that Discord speaks to us again; unless resumed, everybody missed something."""
        if resumed:
            return
        self._connections += 1
        self._overflows.clear()
        self._covered.clear()
        self._threads.begin_anew()
        self._is_done.clear()
        self._changed.set()

    def overflowed(self, channel_id: str) -> None:
        """Says that an event of a channel was not kept."""
        self._overflows[channel_id] += 1
        self._covered.discard(channel_id)
        if channel_id not in self._channels.served.value:
            self._threads.find(channel_id)
        self._changed.set()

    def edited(self, channel_id: str) -> None:
        """Says that a message changed: a page that was read before may be older than that."""
        if channel_id in self._gaps:
            self._edited.add(channel_id)

    async def hold(self, place: Place) -> None:
        """Opens the gap of a place if it may have missed something; raises what the store does.

        To be awaited before a message of the place is kept or passed by. The place's parent has
        to be known.
        """
        channel_id = place.channel_id
        served = served_at(self._channels, place)
        if served is None or channel_id in self._covered:
            return
        self._threads.remember(place)
        mark = (self._connections, self._overflows[channel_id])
        if not await self._is_new_thread(place):
            is_overflow = self._overflows[channel_id] > 0
            self._gaps[channel_id] = await self._store.gaps.open_gap(
                channel_id,
                bridge=served.uid,
                conversation=conversation_of(served, place),
                reason="overflow" if is_overflow else "connected",
                first=snowflake_at(self._begins(served.channel_id)),
            )
            self._changed.set()
        if mark == (self._connections, self._overflows[channel_id]):
            self._covered.add(channel_id)

    def _begins(self, channel_id: str) -> float:
        """From when on messages of a served channel may be for us."""
        served = self._channels.served.value.get(channel_id)
        reaches_back = self._clock() - REACHES_BACK_SECONDS
        return max(served.created_at, reaches_back) if served else reaches_back

    async def _is_new_thread(self, place: Place) -> bool:
        """Whether a thread was made since we listen: then all of it was told."""
        if self._overflows[place.channel_id] or not self._threads.is_new(place):
            return False
        return not await self._store.gaps.cursor(place.channel_id)

    @property
    def open_gaps(self) -> int:
        """How many channels wait for their history."""
        return len(self._gaps)

    async def done(self) -> None:
        """Waits until everything is in that was missed up to the last connection."""
        await self._is_done.wait()

    # ---------------------------------------------------------------- running

    async def run(self) -> None:
        """Catches up until it is cancelled; begins with the first connection."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch(), name="channels")
            while True:
                self._changed.clear()
                self._begin(tasks)
                try:
                    async with asyncio.timeout(self._pauses.next_seconds(self._monotonic())):
                        await self._changed.wait()
                except TimeoutError:
                    pass

    async def _watch(self) -> None:
        while True:
            await self._channels.served.changed()
            self._changed.set()

    def _begin(self, tasks: asyncio.TaskGroup) -> None:
        now, names = self._monotonic(), set[str]()
        for name, job in self._jobs():
            if len(self._busy) >= self._at_once:
                return
            names.add(name)
            if name not in self._busy and not self._pauses.holds(name, now):
                self._busy.add(name)
                tasks.create_task(self._do(name, job), name=name)
        self._pauses.keep(names, now)
        if self._connections and not names and not self._busy:
            self._is_done.set()

    def _jobs(self) -> Iterator[Job]:
        """What there is to do: gaps are opened first; then threads are found while they fill."""
        if not self._connections:
            return
        if not self._is_loaded:
            yield "load", self._load
        for channel_id in self._channels.served.value:
            if channel_id not in self._covered:
                place = Place(guild_id="", channel_id=channel_id, parent_id="")
                yield f"open {channel_id}", partial(self.hold, place)
        lists = self._threads.jobs(iter(self._channels.served.value))
        for one, another in itertools.zip_longest(self._fills(), lists):
            yield from (each for each in (one, another) if each is not None)

    def _fills(self) -> Iterator[Job]:
        by_uid = {each.uid: each for each in self._channels.served.value.values()}
        for channel_id, gap in self._gaps.items():
            served = by_uid.get(gap.bridge)
            if served and (channel_id in self._covered or self._is_left(channel_id, served)):
                yield f"fill {channel_id}", partial(self._fill, channel_id, served)

    def _is_left(self, channel_id: str, served: Served) -> bool:
        """Whether a gap of the last run is a thread's that nobody comes upon in this one."""
        return channel_id != served.channel_id and self._threads.is_listed(served)

    async def _do(self, name: str, job: Callable[[], Awaitable[None]]) -> None:
        try:
            await job()
            self._pauses.ended(name)
        except (Refusal, ChatError, Overloaded) as error:
            seconds = self._pauses.failed(name, self._monotonic(), why=str(error))
            _log.warning("catch-up waits", job=name, error=str(error), again_seconds=seconds)
        finally:
            self._busy.discard(name)
            self._changed.set()

    async def _load(self) -> None:
        """Takes up the gaps of the last run, where none was opened anew."""
        for gap in await self._store.gaps.gaps():
            self._gaps.setdefault(gap.channel_id, gap)
        self._is_loaded = True

    # ---------------------------------------------------------------- filling

    async def _fill(self, channel_id: str, served: Served) -> None:
        """Brings one page of a channel's history in, and closes its gap with the last."""
        gap = self._gaps[channel_id]
        ending = Ending.FILLED
        try:
            newer = gap if gap.is_complete else await self._page(gap, served)
        except ChatError as error:
            if not is_final(error):
                raise
            if error.fault is Fault.GONE:
                await self._end(gap, error)
                return
            _log.error("history not read", channel=channel_id, error=str(error))
            ending = Ending.UNREADABLE
            newer = await self._store.gaps.fill(gap, (), through=gap.after, is_last=True)
        if newer is not None and newer.is_complete and await self._close(newer, ending):
            return
        if newer is None or newer.is_complete:  # more was missed meanwhile
            await self._reload(channel_id)
        elif self._gaps.get(channel_id) is gap:
            del self._gaps[channel_id]  # the others have their turn before its next page
            self._gaps[channel_id] = newer

    async def _page(self, gap: Gap, served: Served) -> Gap | None:
        place = await self._threads.place_of(gap.channel_id)
        after = max(gap.after, snowflake_at(self._clock() - REACHES_BACK_SECONDS), key=int)
        while True:
            self._edited.discard(gap.channel_id)
            seen = await self._store.gaps.waiting(gap.channel_id)
            page, last = await self._chat.after(place, after)
            if gap.channel_id not in self._edited:
                break  # else it may show what a message said before an edit that came already
        through = last or (page[-1].message_id if page else after)
        shown = {message.message_id for message in page}
        missing = [
            each
            for each in seen
            if each not in shown and int(after) < int(each) and (not last or int(each) <= int(last))
        ]
        return await self._store.gaps.fill(
            gap,
            [each for each in page if each.message_id in seen or is_for_agent(each, served)],
            through=through,
            is_last=not last,
            seen=seen,
            gone=[each for each in missing if await self._is_gone(place, each)],
        )

    async def _is_gone(self, place: Place, message_id: str) -> bool:
        """Whether a message is deleted that history did not show: a page may also be too old."""
        try:
            await self._chat.message(place, message_id)
        except ChatError as error:
            if error.code != _UNKNOWN_MESSAGE:
                raise
            return True
        return False

    async def _close(self, gap: Gap, ending: Ending) -> bool:
        said: Say = ()
        if gap.expired:
            piece = render_missed(gap.expired, group=gap.gap_id)
            said = outgoing(f"missed {gap.gap_id}", gap.channel_id, [piece])
        closed = await self._store.gaps.close_gap(gap, say=said)
        if closed is None:
            return False
        self._forget(gap)
        self.endings[ending] += 1
        _log.info(
            "caught up",
            channel=gap.channel_id,
            ending=ending,
            ready=closed.ready,
            expired=closed.expired,
        )
        self._work(gap.bridge)  # what had come before waited for it too
        if said:
            self._said()
        return True

    async def _end(self, gap: Gap, error: ChatError) -> None:
        for uid in await self._store.inbox.end_channel(gap.channel_id):
            self._settled(uid)
        self._forget(gap)
        self.endings[Ending.GONE] += 1
        _log.info("channel gone", channel=gap.channel_id, error=str(error))

    def _forget(self, gap: Gap) -> None:
        if self._gaps.get(gap.channel_id, gap).round == gap.round:
            self._gaps.pop(gap.channel_id, None)
        self._edited.discard(gap.channel_id)

    async def _reload(self, channel_id: str) -> None:
        self._gaps.pop(channel_id, None)
        for gap in await self._store.gaps.gaps():
            if gap.channel_id == channel_id:
                self._gaps[channel_id] = gap


def is_for_agent(message: ChatMessage, served: Served) -> bool:
    """Whether a message of history is one to run; a command of ours has had its time."""
    if not message.content.strip() and not message.attachments:
        return False
    if served.require_mention and not (message.mentions_us or message.place.is_ours):
        return False
    return isinstance(commands.parse(message.content), ToAgent)
