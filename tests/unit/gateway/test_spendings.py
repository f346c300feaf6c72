"""What a turn has used is noted once, for who asked for it, with the place in the log."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import date
from pathlib import Path

import grpc
import pytest

from repobridge.session import events as ev
from repobridge_gateway.chat import ChatMessage, Person, Place
from repobridge_gateway.deliveries import Deliveries, Told
from repobridge_gateway.limits.ledger import UsageKey, UsageRow, Used
from repobridge_gateway.render.turn_view import TurnView
from repobridge_gateway.requested import TURN, turn_of
from repobridge_gateway.session_client import SessionClient
from repobridge_gateway.store.sqlite import SqliteStore

DAY, GUILD = date(2026, 1, 1), "1"
AT = 1_767_225_600.0
ASKED = ChatMessage(
    message_id="1000",
    place=Place(guild_id=GUILD, channel_id="100", parent_id=""),
    author=Person(user_id="ann", display_name="Ann"),
    content="hello",
)


class Log:
    """A bridge's log, read into a store event by event."""

    def __init__(self, store: SqliteStore, client: SessionClient) -> None:
        self.store = store
        self._client = client
        self._deliveries = Deliveries("uid", store.clicks, store.inbox)
        self.events: list[ev.Event] = []

    async def tells(self, turn: str, *bodies: ev.Body, view: TurnView | None = None) -> None:
        """New events of a turn."""
        for body in bodies:
            event = ev.Event(
                log_id="log",
                sequence=len(self.events) + 1,
                at=AT,
                body=body,
                turn_id=turn,
                conversation_id="main",
            )
            self.events.append(event)
            await self.read(event, view=view)

    async def read(self, event: ev.Event, *, view: TurnView | None = None) -> None:
        """An event, for the first time or again."""
        told = Told(
            event=event,
            client=self._client,
            channel_id="100",
            threshold=1500,
            view=view,
            guild_id=GUILD,
        )
        delivery = await self._deliveries.of(told)
        assert delivery is not None
        await self.store.outbox.deliver(delivery)

    async def usage(self) -> Sequence[UsageRow]:
        return await self.store.ledger.usage(GUILD, since=DAY, until=DAY)


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Log]:
    store = await SqliteStore.open(tmp_path / "store", clock=lambda: AT)
    async with grpc.aio.insecure_channel(f"unix:{tmp_path}/none") as channel:
        yield Log(store, SessionClient(channel))
    await store.close()


def used(turns: int, *, user: str, **numbers: int) -> UsageRow:
    key = UsageKey(day=DAY, guild_id=GUILD, user_id=user, bridge="uid", model="opus")
    return UsageRow(key=key, turns=turns, used=Used(**numbers))


async def test_a_turn_is_noted_for_who_asked_also_what_it_cost_once_it_was_over(log: Log) -> None:
    await log.store.inbox.receive(ASKED, bridge="uid", conversation="main")
    opened = ev.TurnOpened(ev.TurnOrigin.MESSAGE, "1000")
    first = ev.UsageUpdated("opus", input=3, output=4, cache_read=5, cache_write=6)
    await log.tells("t1", opened, first)
    assert await log.usage() == [
        used(1, user="ann", input=3, output=4, cache_read=5, cache_write=6)
    ]
    (row,) = await log.store.clicks.open_requests("uid")
    await log.store.clicks.end(row.ulid)
    whole = ev.UsageUpdated("opus", 3, 9, 5, 6, cost_micro_usd=70)
    await log.tells("t1", whole)
    for event in log.events:  # as after a crash
        await log.read(event)
    assert await log.usage() == [
        used(1, user="ann", input=3, output=9, cache_read=5, cache_write=6, micro_usd=70)
    ]


async def test_what_nobody_in_discord_asked_for_counts_for_the_bridge(log: Log) -> None:
    await log.tells("t1", ev.TurnOpened(ev.TurnOrigin.CRON), ev.UsageUpdated("opus", input=1))
    await log.tells("t2", ev.UsageUpdated("opus", input=2))  # in no channel
    assert await log.usage() == [used(2, user="", input=3)]


async def test_the_row_of_a_turn_is_found_by_the_whole_of_its_name(log: Log) -> None:
    for name in ("t10", "t1", "t11"):
        await log.tells(name, ev.TurnOpened(ev.TurnOrigin.MESSAGE, "7"))
    found = await log.store.clicks.turn("uid", "t1")
    assert found is not None
    assert (found.kind, turn_of(found)) == (TURN, ("t1", "7"))
    assert await log.store.clicks.turn("uid", "t") is None
    assert await log.store.clicks.turn("other", "t1") is None


async def test_the_end_of_a_turn_of_which_no_more_is_read_answers_who_asked(log: Log) -> None:
    await log.store.inbox.receive(ASKED, bridge="uid", conversation="main")
    await log.tells("t1", ev.TurnOpened(ev.TurnOrigin.MESSAGE, "1000"))
    ended = ev.TurnEnded(ev.TurnOutcome.COMPLETED, final_markdown="hello")
    await log.tells("t1", ended, view=TurnView("t1"))
    (due,) = await log.store.outbox.due()
    said = await log.store.outbox.sending(due.send_id)
    assert said is not None
    assert said.piece.reply_to == "1000"
