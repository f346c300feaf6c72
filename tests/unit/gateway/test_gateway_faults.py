"""The whole gateway through faults: whatever happens, each message is answered and done once."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from random import Random

import pytest

from repobridge_gateway import discord_gateway
from tests.fakes.discord import Cloudflare, Discord, Fault, Reset, Status, TooMany
from tests.fakes.scripted_claude.installed import ScriptedClaude, open_gate
from tests.session.faulty import scripted_runner
from tests.unit.gateway.whole import PATIENCE_SECONDS, Whole, whole

_FAULTS: tuple[Fault, ...] = (
    Status(503),
    Cloudflare(503),
    Cloudflare(429),
    Cloudflare(404),
    Cloudflare(403),
    TooMany(),
    Reset(acts=True),
    Reset(acts=False),
)
HOUR = 3600.0
MOST_LEFT = 20


@pytest.fixture
async def team(
    discord: Discord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Whole]:
    scripted = ScriptedClaude(tmp_path / "agent")
    async with (
        scripted_runner(tmp_path, scripted) as runner,
        whole(discord, runner, scripted, tmp_path / "store", monkeypatch) as made,
    ):
        yield made


async def disturb(team: Whole, random: Random) -> None:
    """Something goes wrong at Discord, or with a clock."""
    match random.randrange(6):
        case 0 | 1:
            team.discord.faults.on("*", random.choice(_FAULTS), times=random.randint(1, 2))
        case 2:
            await team.discord.gateway.cut()
        case 3:
            team.discord.gateway.invalidate(is_resumable=random.random() < 0.5)
        case 4:
            team.skew = random.choice((-HOUR, 0.0, HOUR))


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("seed", "lives"), [(1, 5), pytest.param(2, 1000, marks=pytest.mark.long)])
async def test_gateways_that_die_at_any_commit_answer_each_message_once(
    team: Whole, seed: int, lives: int
) -> None:
    random = Random(seed)
    for number in range(lives):
        # What nobody lives long enough to answer would be offered at last, and not run.
        at = random.randint(1, 14) if len(team.left()) < MOST_LEFT else 0
        team.start(at=at, when=random.choice(("before", "after")))
        if random.random() < 0.5:
            await team.until_dead_or(lambda: bool(team.discord.gateway.connected))
        for part in range(random.randint(1, 2)):
            team.ask(f"question {number}.{part}")
        await disturb(team, random)
        team.deaths += await team.until_dead_or(team.is_over)
        await team.end()
        team.discord.faults.clear()
    team.skew = 0.0
    team.start()
    await team.until(team.is_over)
    team.assert_accounted()
    assert team.deaths > lives // 4


async def test_a_thread_that_is_deleted_under_its_turn_ends_and_keeps_no_runner_awake(
    team: Whole,
) -> None:
    team.start()
    await team.until(lambda: team.discord.gateway.connected)
    thread = team.ann.open_thread(team.channel, "a matter")
    gate = team.scripted.gate("deleted")
    team.ann.say(thread, f"%gate {gate}")
    await team.until(lambda: any("Stop" in each.labels for each in team.discord.seen(thread)))
    team.discord.delete_channel(thread)
    open_gate(gate)
    client = (await team.bridge.awake()).client
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await client.activity()).busy_reasons:
            await asyncio.sleep(0.01)
    team.ask("and here?")
    await team.until(team.is_over)


async def test_a_store_that_is_locked_for_a_while_delays_everything_and_loses_nothing(
    team: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, timeout=0.05))
    monkeypatch.setattr(discord_gateway, "_TRIM_SECONDS", 0.05)
    team.start()
    await team.until(lambda: team.discord.gateway.connected)
    team.ask("before")
    await team.until(team.is_over)
    for number in range(3):
        with team.locked():
            team.ask(f"meanwhile {number}")
            await team.logged("not kept yet", "store not trimmed")
        await team.until(team.is_over)
    team.assert_accounted()
