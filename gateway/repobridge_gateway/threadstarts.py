"""Opens a thread from a message that somebody marked with 🧵: the message is its first prompt.

What is asked for is kept before the thread is opened, and the prompt waits until it is there: a
crash in between opens it then. Discord makes one thread of a message, and the prompt's id is made
from the message's: a mark that comes twice, or from two people, is one thread and one prompt.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from repobridge.errors import Refusal
from repobridge.session.events import MessageKind
from repobridge.telemetry import Logger
from repobridge_gateway import commands
from repobridge_gateway.access import Members
from repobridge_gateway.admission import admission
from repobridge_gateway.channels import Served
from repobridge_gateway.chat import ChatError, ChatMessage, Fault, Person, Place, Reaction
from repobridge_gateway.commands import Reply, ToAgent, ToGateway
from repobridge_gateway.pacer import Overloaded
from repobridge_gateway.pauses import Pauses
from repobridge_gateway.render.inline import inert
from repobridge_gateway.speech import sentence
from repobridge_gateway.starters import make_starter, starter_id, title_of
from repobridge_gateway.store.port import Opening, Say, Store
from repobridge_gateway.throttle import Throttle

THREAD = "🧵"
_ANYTHING = ToAgent(MessageKind.TEXT, "")
_AGAIN_SECONDS = 1.0
_HAS_THREAD = 160004
_UNKNOWN_MESSAGE = 10008
_FINAL = frozenset({Fault.GONE, Fault.FORBIDDEN, Fault.REJECTED})
_log = Logger(__name__)


class Threads(Protocol):
    """Messages and their threads; each call raises ChatError, and Overloaded."""

    @property
    def me(self) -> str:
        """Our own user's id."""

    async def message(self, place: Place, message_id: str) -> ChatMessage | None:
        """What somebody wrote; None for what no person did."""

    async def open_thread(self, channel_id: str, message_id: str, name: str) -> Place:
        """Makes a thread of a message."""

    async def bring(self, thread_id: str, user_id: str) -> None:
        """Makes somebody a member of a thread."""


class ThreadStarts:
    """The threads that people ask for by a mark."""

    def __init__(
        self,
        store: Store,
        threads: Threads,
        members: Members,
        *,
        work: Callable[[str], None],
        said: Callable[[], None],
        throttle: Throttle | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        pauses: Pauses | None = None,
    ) -> None:
        """`work` hears of a bridge that has something to run, `said` of sentences to send. Without
        a `throttle` no limits of rate hold.
        """
        self._throttle = throttle
        self._store = store
        self._threads = threads
        self._members = members
        self._work = work
        self._said = said
        self._clock = clock
        self._monotonic = monotonic
        self._pauses = pauses or Pauses()
        self._wanted = asyncio.Event()
        self._wanted.set()

    async def ask(self, reaction: Reaction, served: Served) -> None:
        """Keeps what a mark asks for; raises what the store does.

        It is awaited in the order of the channel's events: an edit that comes after it finds it.
        """
        if reaction.emoji != THREAD or not served.threads_are_sessions:
            return
        if reaction.place.channel_id != served.channel_id:
            return  # a thread has no threads
        if await self._admitted(reaction, served, _ANYTHING) is None:
            return
        if await self._store.inbox.find(starter_id(reaction.message_id)) is not None:
            return
        message = await self._message(reaction)
        starter = make_starter(message, reaction.person) if message is not None else None
        if message is None or starter is None:
            return
        asker = await self._admitted(reaction, served, commands.parse(message.content))
        if asker is None or await self._is_limited(reaction, served, asker):
            return
        title = title_of(message, me=self._threads.me)
        if await self._store.openings.ask(starter, bridge=served.uid, title=title):
            _log.info("thread asked for", thread=reaction.message_id, bridge=served.bridge.name)
            self._wanted.set()

    async def _admitted(
        self, reaction: Reaction, served: Served, text: ToAgent | ToGateway | Reply
    ) -> Person | None:
        """Who asks, as they are now; None: they may not."""
        person, guild_id = reaction.person, reaction.place.guild_id
        try:
            found = await admission(served, person, text, guild_id=guild_id, members=self._members)
        except (ChatError, Overloaded) as error:
            _log.warning("roles not known", user=person.user_id, error=str(error))
            return None
        return None if found.refusal else found.person

    async def _is_limited(self, reaction: Reaction, served: Served, asker: Person) -> bool:
        """Charges a mark as the prompt that it makes; whoever is over a limit reads so."""
        if self._throttle is None:
            return False
        # A mark has no id of its own, and one that is set again later is to be charged anew.
        mark = f"{starter_id(reaction.message_id)} {asker.user_id} {self._clock():.3f}"
        denied = await self._throttle.charge(
            mark, served=served, person=asker, place=reaction.place
        )
        if denied is None:
            return False
        if denied.sentence:
            text = f"<@{asker.user_id}>: {denied.sentence}"
            channel_id = reaction.place.channel_id
            said = sentence(f"limited {mark}", channel_id, text, reply_to=reaction.message_id)
            await self._store.outbox.say(served.uid, said)
            self._said()
        return True

    async def _message(self, reaction: Reaction) -> ChatMessage | None:
        while True:
            try:
                return await self._threads.message(reaction.place, reaction.message_id)
            except (ChatError, Overloaded) as error:
                _log.warning("message not read", message_id=reaction.message_id, error=str(error))
                if _is_final(error):
                    return None
            await asyncio.sleep(_AGAIN_SECONDS)

    async def run(self) -> None:
        """Opens threads until it is cancelled, those first that an earlier gateway did not."""
        while True:
            self._wanted.clear()
            try:
                for opening in await self._store.openings.waiting():
                    if not self._pauses.holds(opening.thread_id, self._monotonic()):
                        await self._open(opening)
            except Refusal as refusal:
                _log.warning("threads not opened", error=str(refusal))
                self._pauses.failed("store", self._monotonic(), why=str(refusal))
            try:
                async with asyncio.timeout(self._pauses.next_seconds(self._monotonic())):
                    await self._wanted.wait()
            except TimeoutError:
                pass

    async def _open(self, opening: Opening) -> None:
        try:
            await self._threads.open_thread(opening.channel_id, opening.thread_id, opening.title)
        except (ChatError, Overloaded) as error:
            if isinstance(error, ChatError) and error.code == _HAS_THREAD:
                await self._opened(opening)  # by us before a crash, or by somebody
            elif _is_final(error):
                await self._refused(opening, error)
            else:
                seconds = self._pauses.failed(opening.thread_id, self._monotonic(), why=str(error))
                _log.warning(
                    "thread not opened yet",
                    thread=opening.thread_id,
                    error=str(error),
                    again_seconds=seconds,
                )
            return
        await self._opened(opening)

    async def _opened(self, opening: Opening) -> None:
        await self._store.openings.opened(opening)
        self._pauses.ended(opening.thread_id)
        _log.info("thread opened", thread=opening.thread_id, bridge=opening.bridge)
        self._work(opening.bridge)
        kept = await self._store.inbox.find(opening.starter_id)
        if kept is None:
            return
        try:  # who asked hears of what is said there; nothing depends on it
            await self._threads.bring(opening.thread_id, kept.message.asker.user_id)
        except (ChatError, Overloaded) as error:
            _log.info("nobody brought into a thread", thread=opening.thread_id, error=str(error))

    async def _refused(self, opening: Opening, error: ChatError | Overloaded) -> None:
        said: Say = ()
        if getattr(error, "code", 0) != _UNKNOWN_MESSAGE:  # of what was deleted nobody hears
            said = sentence(
                f"no thread {opening.thread_id} {self._clock():.3f}",
                opening.channel_id,
                f"I can't open a thread from this message ({inert(str(error))}). My role needs"
                f" Create Public Threads here; mark the message with {THREAD} again then.",
                reply_to=opening.thread_id,
            )
        await self._store.openings.refused(opening, say=said)
        self._pauses.ended(opening.thread_id)
        _log.warning("thread not opened", thread=opening.thread_id, error=str(error))
        self._said()


def _is_final(error: ChatError | Overloaded) -> bool:
    """Whether Discord itself said that it will go on saying so."""
    return isinstance(error, ChatError) and error.fault in _FINAL and error.code != 0
