"""Answers given in parts are kept until they decide; and requests without a log end too."""

from __future__ import annotations

from dataclasses import replace

from repobridge_gateway.clicks import Clicked, Standing
from repobridge_gateway.store.sqlite import SqliteStore
from tests.unit.gateway.store.chats import piece
from tests.unit.gateway.store.test_clickrows import ASKED, ask, click, resolve


async def test_a_part_decides_nothing_and_is_found_again(store: SqliteStore) -> None:
    await ask(store)
    won = Clicked(standing=Standing.WON, asked=ASKED, winner=click(1))
    assert await store.clicks.choose(click(1)) == won
    assert await store.clicks.choose(click(2)) == replace(won, winner=click(2))
    assert await store.clicks.undecided() == []
    assert await store.clicks.choices(ASKED.ulid) == [click(1), click(2)]
    assert (await store.clicks.click(click(3))).standing is Standing.WON
    assert (await store.clicks.choose(click(4))).standing is Standing.TAKEN
    assert await store.clicks.choices(ASKED.ulid) == [click(1), click(2)]


async def test_a_part_of_what_is_over_or_was_never_asked_is_not_kept(store: SqliteStore) -> None:
    assert (await store.clicks.choose(click(1))).standing is Standing.UNKNOWN
    await ask(store)
    await resolve(store)
    assert (await store.clicks.choose(click(1))).standing is Standing.OVER
    assert await store.clicks.choices(ASKED.ulid) == []


async def test_a_request_that_no_log_ends_can_be_ended(store: SqliteStore) -> None:
    await ask(store, piece("ask"))
    await store.outbox.seen_own("ask/0", message_id="55")
    await store.clicks.click(click(1))
    await store.clicks.end(ASKED.ulid)
    await store.clicks.end("0" * 26)
    assert await store.clicks.undecided() == []
    assert await store.clicks.stale_buttons() == [replace(ASKED, message_id="55")]
