"""A gateway reduced to its dealings with the store, between a Discord and a runner of plain memory.

It is killed before or after commits: what is committed is all that it has then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repobridge.durable.groupwriter import Act, GroupWriter
from repobridge.session.events import Cursor
from repobridge_gateway.chat import ChatMessage, MessageEdited
from repobridge_gateway.inbox import Effect, InboxState, Kept, Wish
from repobridge_gateway.outbox import Attempt, Due
from repobridge_gateway.store.port import Delivery, Gap
from repobridge_gateway.store.sqlite import SqliteStore
from tests.unit.gateway.store.chats import BRIDGE
from tests.unit.gateway.store.world import (
    CONVERSATIONS,
    Clock,
    Discord,
    Entry,
    Post,
    Runner,
    message_of,
    outgoing,
)

CHANNELS = sorted(CONVERSATIONS)
PAGE = 3
HOUR = 3600.0
PAUSES = {
    "a moment": 1.0,
    "over a minute": 90.0,
    "two minutes": 130.0,
    "a while": 200.0,
    "a day": 25 * HOUR,
}


class Killed(Exception):
    """The gateway's process ended here."""


class Doom:
    """Ends everything at the n-th commit from now, before or after it is made."""

    def __init__(self, store: SqliteStore, *, at: int, when: str) -> None:
        self._writer = store._database._writer
        self._at = at
        self._when = when
        self._is_dead = False
        vars(self._writer)["_commit"] = self._commit  # of this writer alone

    def _commit(self, group: list[Act]) -> None:
        self._at -= 1
        if self._at == 0 and self._when == "before":
            self._is_dead = True
        if not self._is_dead:
            GroupWriter._commit(self._writer, group)
        if self._at == 0:
            self._is_dead = True
        if self._is_dead:
            for act in group:
                act.error = Killed()


@dataclass(frozen=True)
class Page:
    """A page of history that was read."""

    gap: Gap
    messages: list[ChatMessage]
    through: str


class Trial:
    """The gateway, people, the network, and the clock."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.loop = asyncio.Runner()
        self.clock = Clock()
        self.discord = Discord(self.clock)
        self.runner = Runner()
        self.is_connected = True
        self.groups: set[int] = set()
        self.expired: set[str] = set()
        self.refused: set[str] = set()
        self.surely_deleted: set[str] = set()
        self.surely_edited: dict[str, int] = {}
        self.wished: dict[str, float] = {}
        self.lost: set[tuple[str, int]] = set()
        self.open()
        self.catch_up()

    def take(self, what: str, number: int) -> None:
        """Takes one step of a schedule."""
        match what:
            case "post" | "post and take":
                self.post(CHANNELS[number % 3], takes=what != "post", times=1 + number // 3)
            case "edit" | "delete" | "told again":
                self.change(what, back=number)
            case "catch up":
                self.catch_up()
            case "killed before" | "killed after":
                Doom(self.store, at=1 + number, when=what.removeprefix("killed "))
            case "stopped" | "machine restarted":
                self.loop.run(self.store.close())
                if what == "machine restarted":
                    self.clock.reboot()
                self.open()
            case "connection lost":
                self.is_connected = False
            case "connection new":
                self.is_connected = True
                self.go(self.miss("Reconnected"))
            case "step":
                self.clock.skew = (number % 3 - 1) * HOUR
            case "run":
                self.runner.run("main", pieces=number % 3)
                self.runner.run("thread", pieces=1)
            case _ if what in PAUSES:
                self.clock.true += PAUSES[what]
            case _ if what != "rest":
                self.go(self.work(what, number))

    async def work(self, what: str, number: int) -> None:
        """Takes one step of the gateway's own."""
        match what:
            case "hand over" | "hand over unheard":
                await self.hand_heads_over(is_answered=what == "hand over")
            case "catch up there" if self.is_connected:
                await self.fill(CHANNELS[number % 3])
            case "read a page" if self.is_connected:
                if gap := await self.gap_of(CHANNELS[number % 3]):
                    self.pages[gap.channel_id] = self.page_of(gap)
            case "hand over slowly":
                await self.hand_heads_over(is_slow=True)
            case "carry out":
                await self.carry_orders_out()
            case "refuse":
                await self.refuse_heads()
            case "accept":
                for group in sorted(self.groups):
                    await self.accept(group)
            case "mark":
                marks = await self.store.inbox.unmarked(number)
                await self.store.inbox.marked([message_id for _, message_id in marks])
            case "deliver" | "deliver twice":
                await self.deliver_some(1 + number // 2, is_repeated=what != "deliver")
            case _ if what.startswith("send "):
                await self.send_some(what.removeprefix("send "))

    # ------------------------------------------------------- life and death

    def open(self) -> None:
        self.pages: dict[str, Page] = {}
        self.store = self.loop.run(SqliteStore.open(self.directory, clock=self.clock))
        self.loop.run(self.miss("Restarted"))
        self.is_connected = True

    def go(self, step: Coroutine[Any, Any, None]) -> None:
        """Takes a step of the gateway, and begins anew where it dies in it."""
        try:
            self.loop.run(step)
        except Killed:
            self.loop.run(self.store.close())
            self.open()

    async def miss(self, reason: str) -> None:
        for channel in CHANNELS:
            await self.store.gaps.open_gap(
                channel,
                bridge=BRIDGE,
                conversation=CONVERSATIONS[channel],
                reason=reason,
                first="0",
            )

    # ---------------------------------------------------------------- people

    def post(self, channel: str, *, takes: bool, times: int) -> None:
        for _ in range(times):
            post = self.discord.post(channel)
            if self.is_connected:
                self.go(self.hear(message_of(post), takes=takes))

    def change(self, what: str, *, back: int) -> None:
        """Does something with one of the newest messages."""
        newest = sorted(self.discord.posts, key=int, reverse=True)[back : back + 1]
        for post in map(self.discord.posts.__getitem__, newest):
            if what == "told again" and self.loop.run(self.store.inbox.find(post.message_id)):
                self.go(self.hear(message_of(post), takes=True))
            elif what == "edit" and not post.is_deleted:
                edited = self.discord.edit(post)
                if self.is_connected:
                    self.go(self.hear_edit(post, edited))
            elif what == "delete":
                post.is_deleted = True
                if self.is_connected:
                    self.go(self.hear_deletion(post))

    async def hear_edit(self, post: Post, edited: MessageEdited) -> None:
        version = len(post.texts) - 1
        said = [outgoing(f"late {post.message_id}", channel=post.channel)]
        effect = await self.store.inbox.edit(edited, say=said)
        if effect is Effect.DONE:
            self.surely_edited[post.message_id] = version
        elif effect is Effect.WISHED:
            self.wished[post.message_id] = version

    async def hear_deletion(self, post: Post) -> None:
        effects = await self.store.inbox.delete(post.channel, [post.message_id])
        if effects[post.message_id] is Effect.DONE:
            self.surely_deleted.add(post.message_id)
        elif effects[post.message_id] is Effect.WISHED:
            self.wished[post.message_id] = float("inf")

    async def hear(self, message: ChatMessage, *, takes: bool) -> None:
        conversation = CONVERSATIONS[message.place.channel_id]
        receipt = await self.store.inbox.receive(
            message, bridge=BRIDGE, conversation=conversation, take=takes
        )
        if receipt.is_taken:
            is_duplicate = self.runner.submit(message, conversation)
            await self.store.inbox.submitted(
                message.message_id, version=1, is_duplicate=is_duplicate
            )

    # ------------------------------------------------------------------ gaps

    def catch_up(self) -> None:
        for channel in CHANNELS:
            if self.is_connected:
                self.go(self.fill(channel))

    async def fill(self, channel: str) -> None:
        while gap := await self.gap_of(channel):
            in_hand = channel in self.pages
            await self.fill_page(gap, self.pages.pop(channel) if in_hand else self.page_of(gap))

    async def gap_of(self, channel: str) -> Gap | None:
        gaps = [gap for gap in await self.store.gaps.gaps() if gap.channel_id == channel]
        return gaps[0] if gaps else None

    def page_of(self, gap: Gap) -> Page:
        """The next of history, as it reads now: it may be older than what is heard meanwhile."""
        messages = self.discord.history(gap.channel_id, after=gap.after, limit=PAGE)
        return Page(gap, messages, messages[-1].message_id if messages else gap.after)

    async def fill_page(self, gap: Gap, page: Page) -> None:
        is_last = len(page.messages) < PAGE
        filled = await self.store.gaps.fill(
            page.gap, page.messages, through=page.through, is_last=is_last
        )
        assert (filled is None) == ((gap.gap_id, gap.round) != (page.gap.gap_id, page.gap.round))
        if filled and filled.expired:
            self.groups.add(gap.gap_id)
        if filled and is_last:
            offer = outgoing(f"gap {gap.gap_id}", channel=gap.channel_id)
            closed = await self.store.gaps.close_gap(gap, say=[offer] if filled.expired else [])
            assert closed is not None
            assert closed.expired == filled.expired

    async def accept(self, group: int) -> None:
        offered = await self.store.inbox.expired(group)
        self.expired |= {kept.message_id for kept in offered}
        count = await self.store.inbox.offered(group, is_wanted=True)
        assert count == len(offered)

    # -------------------------------------------------------------- hand over

    async def hand_heads_over(self, *, is_answered: bool = True, is_slow: bool = False) -> None:
        for waiting in await self.store.inbox.next_for(BRIDGE):
            kept = waiting.kept
            is_duplicate = self.runner.submit(kept.message, kept.conversation)
            if is_slow:  # the log tells of the end before the call is answered
                self.runner.run(kept.conversation, pieces=1)
                await self.deliver_some(100)
            if is_answered:
                await self.store.inbox.submitted(
                    kept.message_id, version=kept.version, is_duplicate=is_duplicate
                )

    async def refuse_heads(self) -> None:
        for waiting in await self.store.inbox.next_for(BRIDGE):
            kept = waiting.kept
            if kept.message_id not in self.runner.texts:
                channel = kept.message.place.channel_id
                self.refused.add(kept.message_id)
                said = [outgoing(f"refused {kept.message_id}", channel=channel)]
                await self.store.inbox.refuse(kept.message_id, reason="No", say=said)

    async def carry_orders_out(self) -> None:
        for kept in await self.store.inbox.orders(BRIDGE):
            if kept.state is not InboxState.ENDED and self.tell(kept):
                await self.store.inbox.carried_out(kept.message_id, version=kept.version)
            else:
                channel = kept.message.place.channel_id
                said = [outgoing(f"late {kept.message_id}", channel=channel)]
                await self.store.inbox.too_late(kept.message_id, say=said)

    def tell(self, kept: Kept) -> bool:
        if kept.wish is Wish.WITHDRAW:
            return self.runner.withdraw(kept.message_id)
        return self.runner.amend(kept.message_id, kept.message.content)

    # ---------------------------------------------------------------- answers

    async def deliver_some(self, entries: int, *, is_repeated: bool = False) -> None:
        reached = (await self.store.outbox.delivered(BRIDGE) or Cursor()).sequence
        told: Sequence[Entry] = self.runner.log[reached : reached + entries]
        if not told:
            return
        delivery = Delivery(
            bridge=BRIDGE,
            cursor=Cursor("log", reached + len(told)),
            pieces=tuple(piece for entry in told for piece in entry.pieces),
            ended=tuple(each for entry in told for each in entry.ended),
            withdrawn=tuple(each for entry in told for each in entry.withdrawn),
        )
        assert await self.store.outbox.deliver(delivery)
        if is_repeated:
            assert not await self.store.outbox.deliver(delivery)

    async def send_some(self, answer: str = "stands") -> None:
        for due in await self.store.outbox.due():
            if due.attempt(self.clock.steady()) is Attempt.SEARCH:
                await self.search(due)
            else:
                await self.send_one(due, answer)

    async def search(self, due: Due) -> None:
        sending = await self.store.outbox.sending(due.send_id)
        assert sending is not None
        if found := self.discord.search(sending.piece):
            await self.store.outbox.sent(due.send_id, message_id=found)
        else:
            await self.store.outbox.not_sent(due.send_id)

    async def send_one(self, due: Due, answer: str) -> None:
        outbox = self.store.outbox
        sending = await outbox.begin(due.send_id, now=self.clock.steady())
        assert sending is not None
        piece = sending.piece
        if answer == "forbidden" and not self.discord.search(piece):
            self.lost.add((piece.turn, piece.index))  # or all but: it may yet be sent
            await outbox.lost(due.send_id, reason="Forbidden")
        elif answer == "known not to arrive" and not self.discord.search(piece):
            await outbox.not_sent(due.send_id)
        elif answer != "never arrived":
            message_id = self.discord.create(piece)
            if answer == "own event":
                assert await outbox.seen_own(piece.nonce, message_id=message_id)
            elif answer == "stands":
                await outbox.sent(due.send_id, message_id=message_id)

    # ---------------------------------------------------------------- the end

    async def finish(self) -> None:
        for channel in CHANNELS:
            await self.fill(channel)
        for group in sorted(self.groups):
            await self.accept(group)
        for _ in range(10_000):
            await self.hand_heads_over()
            await self.carry_orders_out()
            for conversation in ("main", "thread"):
                self.runner.run(conversation, pieces=1)
            await self.deliver_some(1000)
            await self.send_some()
            if not await self.store.outbox.due() and not await self.store.inbox.work():
                return
        raise AssertionError("it never comes to rest")

    def come_to_rest(self) -> None:
        """Starts anew, undisturbed from then on, until nothing is left to do."""
        self.loop.run(self.store.close())
        self.open()
        self.loop.run(self.finish())

    def close(self) -> None:
        self.loop.run(self.store.close())
        self.loop.close()
