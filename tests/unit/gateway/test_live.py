"""The message that shows a turn: it appears once, follows, is taken up after a restart, shrinks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from repobridge.session.events import Cursor
from repobridge_gateway import live
from repobridge_gateway.liveboard import LiveBoard
from repobridge_gateway.render.pieces import Piece
from repobridge_gateway.store.sqlite import SqliteStore
from tests.fakes.discord import (
    GENEROUS,
    ActThenHold,
    Channel,
    Cloudflare,
    Discord,
    Gate,
    Held,
    Permission,
    Reset,
    Status,
)
from tests.unit.gateway.bots import Heard, heard

_CREATE = "POST /channels/{channel_id}/messages"
_EDIT = "PATCH /channels/{channel_id}/messages/{message_id}"


@dataclass
class Stage:
    """Everything that a live message stands on."""

    discord: Discord
    channel: Channel
    bot: Heard
    store: SqliteStore
    boards: list[LiveBoard] = field(default_factory=list)

    async def board(self) -> LiveBoard:
        """The board of a gateway that has just started."""
        made = LiveBoard("b", store=self.store.outbox, editor=self.bot.rest)
        await made.take_up()
        self.boards.append(made)
        return made

    async def working(self) -> tuple[LiveBoard, str]:
        """A board that shows a turn, t1; and its channel."""
        board, channel = await self.board(), str(self.channel.id)
        await board.turn("t1", "", channel, lambda _: saying("working"))
        await self.until("working")
        return board, channel

    @property
    def texts(self) -> list[str]:
        return [each.content for each in self.discord.seen(self.channel)]

    async def until(self, *texts: str) -> None:
        await self.discord.until(lambda: self.texts == list(texts))

    async def until_rows(self, *turns: str) -> None:
        async with asyncio.timeout(60):
            while [live.turn for live in await self.store.outbox.lives()] != list(turns):
                await asyncio.sleep(0.01)


@pytest.fixture
async def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    monkeypatch.setattr(live, "PACE_SECONDS", 0.05)  # this Discord limits nobody
    monkeypatch.setattr(live, "SLOWEST_SECONDS", 0.5)
    async with Discord(limits=GENEROUS) as discord:
        channel = discord.add_channel(discord.add_guild("acme"), "payments")
        store = await SqliteStore.open(tmp_path / "store")
        async with heard(discord) as bot:
            made = Stage(discord, channel, bot, store)
            yield made
            for board in made.boards:
                await board.close()
        await store.close()
        assert discord.failures == []


def saying(text: str) -> Piece:
    return Piece(text)


async def test_a_wakes_message_becomes_the_turns_and_shrinks_at_its_end(stage: Stage) -> None:
    board, channel = await stage.board(), str(stage.channel.id)
    board.wake("11", channel, lambda _: saying("waking"))
    await stage.until("waking")
    await board.turn("t1", "11", channel, lambda _: saying("working"))
    await stage.until("working")
    board.turn_ended("t1", lambda _: saying("done"))
    await stage.until("done")
    await stage.until_rows()


async def test_a_wake_that_comes_to_nothing_says_so_and_is_over(stage: Stage) -> None:
    board, channel = await stage.board(), str(stage.channel.id)
    board.wake("11", channel, lambda _: saying("waking"))
    await stage.until("waking")
    board.wake_ended("11", lambda _: saying("it can't start"))
    await stage.until("it can't start")
    await stage.until_rows()


async def test_a_gateway_that_starts_goes_on_with_the_same_message(stage: Stage) -> None:
    board, channel = await stage.working()
    await board.close()
    again = await stage.board()
    await again.turn("t1", "", channel, lambda _: saying("still working"))
    await stage.until("still working")
    again.turn_ended("t1", lambda _: saying("done"))
    await stage.until("done")
    await stage.until_rows()


async def test_a_gateway_that_starts_reads_the_log_from_the_first_turn_that_is_still_shown(
    stage: Stage,
) -> None:
    board, channel, reached = await stage.board(), str(stage.channel.id), Cursor("log", 90_000)
    board.wake("11", channel, lambda _: saying("waking"))
    await stage.until("waking")
    assert (await stage.board()).read_from(reached) == reached
    await board.turn("t1", "11", channel, lambda _: saying("one"), since=Cursor("log", 41))
    await board.turn("t2", "", channel, lambda _: saying("two"), since=Cursor("log", 7_000))
    await board.turn("t1", "", channel, lambda _: saying("one"), since=Cursor("log", 8_000))
    await stage.until("one", "two")
    assert (await stage.board()).read_from(reached) == Cursor("log", 41)
    assert (await stage.board()).read_from(Cursor("log", 5)) == Cursor("log", 5)
    assert (await stage.board()).read_from(Cursor("new log", 3)) == Cursor("new log", 3)
    board.turn_ended("t1", lambda _: saying("done"))
    await stage.until_rows("t2")
    assert (await stage.board()).read_from(reached) == Cursor("log", 7_000)


async def test_the_pace_holds_back_neither_the_first_change_nor_the_last(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "PACE_SECONDS", 3600.0)
    board, channel = await stage.working()
    await board.close()
    again = await stage.board()
    await again.turn("t1", "", channel, lambda _: saying("still working"))
    await stage.until("still working")
    await again.turn("t1", "", channel, lambda _: saying("held back"))
    again.turn_ended("t1", lambda _: saying("done"))
    await stage.until("done")
    assert [each.route for each in stage.discord.requests].count(_EDIT) == 2


async def test_an_edit_that_had_to_wait_shows_what_is_so_when_its_turn_comes(stage: Stage) -> None:
    board, channel, gate = await stage.board(), str(stage.channel.id), Gate()
    await board.turn("t1", "", channel, lambda _: saying("begun"))
    await stage.until("begun")
    await board.turn("t2", "", channel, lambda _: saying("begun"))
    await stage.until("begun", "begun")
    stage.discord.faults.on(_EDIT, Held(gate))
    await board.turn("t1", "", channel, lambda _: saying("first"))
    await gate.reached()
    await board.turn("t2", "", channel, lambda _: saying("older"))
    async with asyncio.timeout(90):
        while not stage.bot.pacer.waiting:
            await asyncio.sleep(0.01)
    await board.turn("t2", "", channel, lambda _: saying("newer"))
    await gate.open()
    await stage.until("first", "newer")
    told = [each.body["content"] for each in stage.discord.requests if each.route == _EDIT]
    assert told == ["first", "newer"]


async def test_a_gateway_that_died_while_it_sent_makes_no_second_message(stage: Stage) -> None:
    board, channel, gate = await stage.board(), str(stage.channel.id), Gate()
    stage.discord.faults.on(_CREATE, ActThenHold(gate))
    await board.turn("t1", "", channel, lambda _: saying("working"))
    await gate.reached()
    await board.close()
    await gate.open()
    again = await stage.board()
    await again.turn("t1", "", channel, lambda _: saying("still working"))
    await stage.until("still working")


async def test_an_answer_that_was_lost_makes_no_second_message(stage: Stage) -> None:
    board, channel = await stage.board(), str(stage.channel.id)
    stage.discord.faults.on(_CREATE, Reset(acts=True), Status(503))
    await board.turn("t1", "", channel, lambda _: saying("working"))
    await stage.until("working")
    await board.turn("t1", "", channel, lambda _: saying("still working"))
    await stage.until("still working")


async def test_what_may_stand_there_is_found_and_shrunk_though_the_turn_is_over(
    stage: Stage,
) -> None:
    board, channel, gate = await stage.board(), str(stage.channel.id), Gate()
    stage.discord.faults.on(_CREATE, ActThenHold(gate))
    await board.turn("t1", "", channel, lambda _: saying("working"))
    await gate.reached()
    await board.close()
    await gate.open()
    again = await stage.board()
    stage.discord.faults.on(_CREATE, Status(503), Reset(acts=True))
    again.turn_ended("t1", lambda _: saying("done"))
    await stage.until("done")
    await stage.until_rows()


async def test_a_message_that_grows_old_is_followed_by_another(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    board, channel = await stage.working()
    monkeypatch.setattr(live, "RENEW_SECONDS", 0.0)
    await board.turn("t1", "", channel, lambda _: saying("still working"))
    await stage.discord.until(lambda: len(stage.texts) == 2)
    monkeypatch.undo()
    board.turn_ended("t1", lambda _: saying("done"))
    await stage.discord.until(lambda: stage.texts[-1] == "done")
    assert set(stage.texts[:-1]) == {"-# It goes on further down."}
    await stage.until_rows()


async def test_a_gateway_that_died_while_another_followed_leaves_none_as_it_was(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    board, channel = await stage.working()
    gate = Gate()
    stage.discord.faults.on(_CREATE, ActThenHold(gate))
    monkeypatch.setattr(live, "RENEW_SECONDS", 0.0)
    await board.turn("t1", "", channel, lambda _: saying("still working"))
    await gate.reached()
    await board.close()
    monkeypatch.undo()
    await gate.open()
    again = await stage.board()
    again.turn_ended("t1", lambda _: saying("done"))
    await stage.until("-# It goes on further down.", "done")
    await stage.until_rows()


async def test_a_turn_that_ended_while_nobody_looked_is_shrunk_all_the_same(stage: Stage) -> None:
    board, _ = await stage.working()
    await board.close()
    again = await stage.board()
    again.turn_ended("t1", lambda _: saying("done"))
    await stage.until("done")
    await stage.until_rows()


async def test_the_last_edit_is_tried_until_it_is_made(stage: Stage) -> None:
    board, _ = await stage.working()
    stage.discord.faults.on(_EDIT, Status(503), Cloudflare(404), Cloudflare(403))
    board.turn_ended("t1", lambda _: saying("done"))
    await stage.until("done")


async def test_words_that_a_server_filters_leave_the_line_of_how_it_stands(stage: Stage) -> None:
    board, channel = await stage.board(), str(stage.channel.id)
    await board.turn("t1", "", channel, lambda _: saying("working\nfine words"))
    await stage.until("working\nfine words")
    stage.channel.guild.blocked_words.add("darn")
    await board.turn("t1", "", channel, lambda _: saying("still working\ndarn"))
    await stage.until("still working")
    board.turn_ended("t1", lambda _: saying("done\ndarn"))
    await stage.until("done")
    await board.turn("t2", "", channel, lambda _: saying("working\ndarn"))
    await stage.until("done", "working")


async def test_a_thread_that_is_archived_under_it_shows_the_end_once_it_is_open(
    stage: Stage,
) -> None:
    ann = stage.discord.add_person(stage.channel.guild, "ann")
    thread = ann.open_thread(stage.channel, "a matter")
    board = await stage.board()
    await board.turn("t1", "", str(thread.id), lambda _: saying("working"))
    await stage.discord.until_seen(thread, lambda each: each.content == "working")
    ann.archive(thread)
    board.changed("t1")
    refused = stage.discord.requests
    board.turn_ended("t1", lambda _: saying("done"))
    await stage.discord.until(
        lambda: [each.status for each in refused if each.route == _EDIT].count(400) >= 2
    )
    ann.unarchive(thread)
    await stage.discord.until_seen(thread, lambda each: each.content == "done")
    await stage.until_rows()


async def test_a_desk_that_broke_takes_up_what_it_showed(stage: Stage) -> None:
    board, _ = await stage.working()
    await board.close()
    await board.take_up()
    board.turn_ended("t1", lambda _: saying("done"))
    await stage.until("done")
    await stage.until_rows()


async def test_who_removes_it_or_closes_the_channel_gets_no_other(stage: Stage) -> None:
    board, channel = await stage.working()
    guild = stage.channel.guild
    stage.discord.owner_of(guild).delete(stage.discord.seen(stage.channel)[0])
    board.turn_ended("t1", lambda _: saying("done"))
    await stage.until_rows()
    assert stage.texts == []

    stage.discord.overwrite(
        stage.channel, stage.discord.everyone(guild), deny=Permission.SEND_MESSAGES
    )
    await board.turn("t2", "", channel, lambda _: saying("working"))
    board.turn_ended("t2", lambda _: saying("done"))
    await stage.until_rows()
    assert stage.texts == []
