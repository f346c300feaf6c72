"""Pieces in the store: once each, in their channel's order, and acknowledged when they stand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from repobridge.session.events import Cursor
from repobridge_gateway.inbox import InboxState
from repobridge_gateway.outbox import Due, Live, Outgoing, Sending, SendState
from repobridge_gateway.steady import Steady
from repobridge_gateway.store.port import Delivery
from repobridge_gateway.store.sqlite import SqliteStore
from tests.unit.gateway.store.chats import (
    BRIDGE,
    CHANNEL,
    OTHER_BRIDGE,
    THREAD,
    message,
    piece,
    snowflake,
)

FIRST = Steady("boot", 100)
LATER = Steady("boot", 150)


async def deliver(store: SqliteStore, sequence: int, *pieces: Outgoing, log: str = "log") -> bool:
    delivery = Delivery(bridge=BRIDGE, cursor=Cursor(log, sequence), pieces=pieces)
    return await store.outbox.deliver(delivery)


async def due_ids(store: SqliteStore) -> list[int]:
    return [each.send_id for each in await store.outbox.due()]


async def test_a_turns_pieces_are_kept_whole_and_sent_in_their_order(store: SqliteStore) -> None:
    pieces = [piece("turn", 0, files=(b"one", b"\0two")), piece("turn", 1)]
    assert await deliver(store, 5, *pieces)
    for number, expected in enumerate(pieces):
        (due,) = await store.outbox.due()
        assert (due.state, due.channel_id) == (SendState.PENDING, CHANNEL)
        sending = await store.outbox.begin(due.send_id, now=FIRST)
        assert sending == Sending(send_id=due.send_id, bridge=BRIDGE, tries=1, piece=expected)
        await store.outbox.sent(due.send_id, message_id=f"{900 + number}")
        assert await store.outbox.begin(due.send_id, now=LATER) is None
    assert await store.outbox.due() == []
    assert await store.outbox.counts() == {"PENDING": 0, "TRYING": 0, "DONE": 2, "LOST": 0}


async def test_channels_do_not_wait_for_each_other(store: SqliteStore) -> None:
    await deliver(store, 5, piece("turn", 0), piece("turn", 1), piece("t", channel=THREAD))
    assert [each.channel_id for each in await store.outbox.due()] == [CHANNEL, THREAD]


async def test_what_was_delivered_before_is_not_delivered_again(store: SqliteStore) -> None:
    assert await store.outbox.delivered(BRIDGE) is None
    assert await deliver(store, 5, piece("turn"))
    assert not await deliver(store, 5, piece("other"))
    assert not await deliver(store, 4, piece("other"))
    assert await deliver(store, 6, piece("turn"))  # the second fence: its turn and index
    assert await store.outbox.counts() == {"PENDING": 1, "TRYING": 0, "DONE": 0, "LOST": 0}
    assert await store.outbox.delivered(BRIDGE) == Cursor("log", 6)


async def test_a_new_log_is_read_from_its_beginning(store: SqliteStore) -> None:
    await deliver(store, 50, piece("turn"))
    assert await deliver(store, 1, piece("new"), log="new log")
    assert await store.outbox.ack(BRIDGE) == Cursor("new log", 0)
    await store.outbox.sent((await due_ids(store))[0], message_id="1")
    await store.outbox.sent((await due_ids(store))[0], message_id="2")
    assert await store.outbox.ack(BRIDGE) == Cursor("new log", 1)
    assert await store.outbox.ack(OTHER_BRIDGE) is None


async def test_a_log_is_acknowledged_up_to_what_stands_in_the_channel(store: SqliteStore) -> None:
    async def ack() -> int:
        cursor = await store.outbox.ack(BRIDGE)
        assert cursor is not None
        return cursor.sequence

    await store.outbox.deliver(
        Delivery(bridge=OTHER_BRIDGE, cursor=Cursor("log", 2), pieces=(piece("c", channel="9"),))
    )
    await deliver(store, 5)
    assert await ack() == 5
    await deliver(store, 10, piece("a", 0), piece("a", 1))
    await deliver(store, 15, piece("b", channel=THREAD))
    await deliver(store, 20)
    await store.outbox.say(BRIDGE, [piece("of no log", channel="900")])
    assert await ack() == 5
    thread = (await due_ids(store))[2]
    await store.outbox.sent(thread, message_id="1")
    assert await ack() == 5
    await store.outbox.sent((await due_ids(store))[1], message_id="2")
    assert await ack() == 5
    await store.outbox.lost((await due_ids(store))[1], reason="Forbidden")
    assert await ack() == 20
    assert await store.outbox.ack(OTHER_BRIDGE) == Cursor("log", 0)


async def test_of_a_repeated_send_the_first_counts_until_it_is_known_to_have_failed(
    store: SqliteStore,
) -> None:
    await deliver(store, 1, piece("turn"))
    (send_id,) = await due_ids(store)
    await store.outbox.begin(send_id, now=FIRST)
    again = await store.outbox.begin(send_id, now=LATER)
    assert again is not None
    assert again.tries == 2
    tried = Due(
        send_id=send_id, bridge=BRIDGE, channel_id=CHANNEL, state=SendState.TRYING, tried=FIRST
    )
    assert await store.outbox.due() == [tried]
    await store.outbox.not_sent(send_id)
    (due,) = await store.outbox.due()
    assert due.state is SendState.PENDING
    await store.outbox.begin(send_id, now=LATER)
    assert await store.outbox.due() == [replace(tried, tried=LATER)]


async def test_our_own_message_completes_its_piece(store: SqliteStore) -> None:
    await deliver(store, 1, piece("turn"))
    await store.outbox.begin((await due_ids(store))[0], now=FIRST)
    assert await store.outbox.seen_own("turn/0", message_id="77") == BRIDGE
    assert not await store.outbox.seen_own("turn/0", message_id="78")
    assert not await store.outbox.seen_own("of somebody else", message_id="79")
    assert await store.outbox.due() == []
    assert await store.outbox.ack(BRIDGE) == Cursor("log", 1)


async def test_a_piece_that_stands_or_is_lost_stays_so(store: SqliteStore) -> None:
    await deliver(store, 1, piece("a"), piece("b", channel=THREAD))
    first, second = await due_ids(store)
    await store.outbox.sent(first, message_id="1")
    await store.outbox.lost(second, reason="Gone")
    for send_id in (first, second):
        await store.outbox.not_sent(send_id)
        await store.outbox.lost(send_id, reason="Forbidden")
        await store.outbox.sent(send_id, message_id="2")
    assert await store.outbox.counts() == {"PENDING": 0, "TRYING": 0, "DONE": 1, "LOST": 1}


async def test_the_end_of_a_message_is_kept_with_its_pieces(store: SqliteStore) -> None:
    for number in (1, 2, 3):
        await store.inbox.receive(message(number), bridge=BRIDGE, conversation="main")
    await store.inbox.next_for(BRIDGE)
    await store.inbox.submitted(snowflake(1), version=1)
    await store.outbox.deliver(
        Delivery(
            bridge=BRIDGE,
            cursor=Cursor("log", 9),
            ended=(snowflake(1), snowflake(99)),
            withdrawn=(snowflake(2),),
        )
    )
    found = [await store.inbox.find(snowflake(number)) for number in (1, 2, 3)]
    assert [each and each.state for each in found] == [
        InboxState.ENDED,
        InboxState.WITHDRAWN,
        InboxState.READY,
    ]


async def test_live_messages_are_found_again(store: SqliteStore) -> None:
    live = Live(
        bridge=BRIDGE,
        turn="turn",
        channel_id=CHANNEL,
        nonce="n1",
        made_at=5.0,
        begun=FIRST,
        read_from=Cursor("log", 7),
    )
    await store.outbox.put_live(live)
    await store.outbox.put_live(replace(live, bridge=OTHER_BRIDGE, nonce="n2", made_at=6.0))
    assert await store.outbox.seen_own("n1", message_id="41") == BRIDGE
    assert not await store.outbox.seen_own("n1", message_id="42")
    await store.outbox.live_sent(OTHER_BRIDGE, "turn", message_id="43")
    await store.outbox.deliver(
        Delivery(bridge=BRIDGE, cursor=Cursor("log", 1), turns_over=("turn",))
    )
    first = replace(live, message_id="41", is_over=True)
    second = replace(live, bridge=OTHER_BRIDGE, nonce="n2", made_at=6.0, message_id="43")
    assert await store.outbox.lives() == [first, second]
    anew = replace(second, nonce="n3", message_id="", made_at=7.0)
    await store.outbox.put_live(anew)
    await store.outbox.drop_live(BRIDGE, "turn")
    assert await store.outbox.lives() == [anew]


@pytest.mark.parametrize("limit", [1, 2])
async def test_of_many_channels_those_that_wait_longest_come_first(
    store: SqliteStore, limit: int
) -> None:
    await deliver(store, 1, *(piece("turn", n, channel=f"{9 - n}") for n in range(3)))
    due = await store.outbox.due(limit=limit)
    assert [each.channel_id for each in due] == ["9", "8"][:limit]
