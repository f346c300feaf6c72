"""Decisions in the store: the first click wins, and is carried out whatever happens meanwhile."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from repobridge.session.events import Cursor
from repobridge_gateway.chat import Person
from repobridge_gateway.clicks import Asked, Click, Clicked, Standing
from repobridge_gateway.outbox import Outgoing
from repobridge_gateway.store.port import Delivery
from repobridge_gateway.store.sqlite import SqliteStore
from tests.unit.gateway.store.chats import BRIDGE, CHANNEL, piece

ASKED = Asked(
    ulid="01ARZ3NDEKTSV4RRFFQ69G5FAV",
    request_id="request",
    bridge=BRIDGE,
    conversation="main",
    kind="TOOL",
    channel_id=CHANNEL,
    nonce="ask/0",
    input_sha256="abc",
    expires_at=12.5,
)


def click(number: int, ulid: str = ASKED.ulid) -> Click:
    person = Person(
        user_id=f"{number}", display_name=f"P{number}", role_ids=frozenset({"9"}), as_of=1.0
    )
    verdict = f'{{"allow": {number}}}'
    return Click(interaction_id=f"{number}", ulid=ulid, person=person, verdict=verdict)


async def ask(store: SqliteStore, *pieces: Outgoing) -> None:
    delivery = Delivery(bridge=BRIDGE, cursor=Cursor("log", 1), pieces=pieces, asked=(ASKED,))
    assert await store.outbox.deliver(delivery)


async def resolve(store: SqliteStore) -> None:
    delivery = Delivery(bridge=BRIDGE, cursor=Cursor("log", 2), resolved=(ASKED.request_id,))
    assert await store.outbox.deliver(delivery)


async def test_the_first_of_many_clicks_wins_and_the_others_hear_who_it_was(
    store: SqliteStore,
) -> None:
    await ask(store)
    results = await asyncio.gather(*(store.clicks.click(click(n)) for n in range(1, 9)))
    won = Clicked(standing=Standing.WON, asked=ASKED, winner=click(1))
    taken = replace(won, standing=Standing.TAKEN)
    assert results == [won, *[taken] * 7]
    assert await store.clicks.undecided() == [(click(1), ASKED)]


async def test_a_click_that_comes_twice_is_one(store: SqliteStore) -> None:
    await ask(store)
    await store.clicks.click(click(1))
    again = await store.clicks.click(click(1))
    assert again == Clicked(standing=Standing.WON, is_new=False, asked=ASKED, winner=click(1))
    await store.clicks.decided("1")
    assert await store.clicks.click(click(1)) == again
    assert await store.clicks.undecided() == []


async def test_a_forged_or_forgotten_name_leaves_no_trace(store: SqliteStore) -> None:
    assert await store.clicks.click(click(1, "0" * 26)) == Clicked(standing=Standing.UNKNOWN)
    assert await store.clicks.undecided() == []


async def test_what_was_decided_elsewhere_is_over(store: SqliteStore) -> None:
    await ask(store)
    await resolve(store)
    assert await store.clicks.click(click(1)) == Clicked(standing=Standing.OVER, asked=ASKED)
    assert await store.clicks.asked(ASKED.ulid) is None


async def test_what_is_over_has_nothing_to_carry_out(store: SqliteStore) -> None:
    await ask(store)
    await store.clicks.click(click(1))
    await resolve(store)
    assert await store.clicks.undecided() == []
    late = await store.clicks.click(click(2))
    assert (late.standing, late.winner) == (Standing.TAKEN, click(1))


async def test_a_click_that_could_not_decide_lets_others(store: SqliteStore) -> None:
    await ask(store)
    await store.clicks.click(click(1))
    await store.clicks.released("1")
    assert await store.clicks.undecided() == []
    assert (await store.clicks.click(click(2))).standing is Standing.WON
    assert (await store.clicks.click(click(1))).standing is Standing.TAKEN


async def test_the_same_click_does_not_decide_after_it_could_not(store: SqliteStore) -> None:
    await ask(store)
    await store.clicks.click(click(1))
    await store.clicks.released("1")
    again = await store.clicks.click(click(1))
    assert again == Clicked(standing=Standing.OVER, is_new=False, asked=ASKED)


async def test_a_request_is_kept_once_with_the_message_that_shows_it(store: SqliteStore) -> None:
    await ask(store, piece("ask"))
    delivery = Delivery(
        bridge=BRIDGE, cursor=Cursor("log", 3), asked=(replace(ASKED, ulid="another"),)
    )
    await store.outbox.deliver(delivery)
    assert await store.clicks.open_requests() == [ASKED]
    assert await store.clicks.open_requests("another bridge") == []
    await store.outbox.seen_own("ask/0", message_id="55")
    assert await store.clicks.open_requests(BRIDGE) == [replace(ASKED, message_id="55")]
    assert await store.clicks.asked(ASKED.ulid) == replace(ASKED, message_id="55")


async def test_buttons_go_once_their_message_stands(store: SqliteStore) -> None:
    await ask(store, piece("ask"))
    await resolve(store)
    assert await store.clicks.stale_buttons() == []  # not sent yet
    (due,) = await store.outbox.due()
    await store.outbox.sent(due.send_id, message_id="55")
    assert await store.clicks.stale_buttons() == [replace(ASKED, message_id="55")]
    await store.clicks.buttons_gone(ASKED.ulid)
    assert await store.clicks.stale_buttons() == []


async def test_buttons_that_never_stood_need_not_go(store: SqliteStore) -> None:
    await ask(store, piece("ask"))
    (due,) = await store.outbox.due()
    await store.outbox.lost(due.send_id, reason="Forbidden")
    await resolve(store)
    assert await store.clicks.stale_buttons() == []
