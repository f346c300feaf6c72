"""`repobridge attach` with the real CLI on a real pseudo-terminal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.anthropic import FakeAnthropic
from tests.live_serve import LiveServe, live_serve, run


@pytest.fixture
async def serve(
    tmp_path: Path, repository: Path, claude_path: Path, anthropic_api: FakeAnthropic
) -> AsyncIterator[LiveServe]:
    async with live_serve(tmp_path, repository, claude=claude_path, api=anthropic_api) as live:
        yield live


async def test_what_is_typed_in_the_live_terminal_is_a_turn_that_chats_see(
    serve: LiveServe,
) -> None:
    async with serve.terminal("attach", "demo") as attached:
        await attached.shows("detach with Ctrl-\\ or Ctrl-P Ctrl-Q")
        await attached.has_on_screen("❯")
        async with serve.terminal("chat", "demo") as chat:
            await chat.shows("leaves")
            attached.type("typed here")
            await attached.has_on_screen("typed here")
            attached.type("\r")
            await chat.shows("in the live terminal")
            await chat.shows("echo: typed here")
        attached.type("\x10\x11")
        assert await attached.ended() == 0
        await attached.shows("detached from demo")


async def test_the_terminal_comes_back_whichever_way_it_ends(serve: LiveServe) -> None:
    async with serve.terminal("attach", "demo") as attached:
        before = attached.mode()
        await attached.has_on_screen("❯")
        assert attached.mode() != before
        attached.type("\x1c")
        assert await attached.ended() == 0
        assert attached.mode() == before
        assert attached.raw.rindex("\x1b[?1049h") < attached.raw.rindex("\x1b[?1049l")
    async with serve.terminal("attach", "demo") as attached:
        await attached.has_on_screen("❯")
        await serve.stop()
        assert await attached.ended() == 1
        assert attached.mode() == before


async def test_a_watcher_sees_and_does_not_type(serve: LiveServe) -> None:
    async with (
        serve.terminal("attach", "demo") as typing,
        serve.terminal("attach", "demo", "--read-only") as watching,
    ):
        await typing.has_on_screen("❯")
        await watching.has_on_screen("❯")
        watching.type("not this ")
        typing.type("but this")
        await watching.has_on_screen("but this")
        assert not any("not this" in row for row in watching.screen)


async def test_the_window_follows_the_terminals_size(serve: LiveServe) -> None:
    async with serve.terminal("attach", "demo") as attached:
        await attached.has_on_screen("❯")
        await attached.has_on_screen("─" * 100)
        attached.resize(70, 20)
        await attached.has_on_screen("─" * 70)
        attached.type("x")
        # A frame for the old size would have wrapped to 30 above the prompt.
        await attached.until(lambda: _prompt_below_its_rule(attached.screen, 70))


async def test_without_a_terminal_it_says_so(serve: LiveServe) -> None:
    ran = await run(serve.environment, "attach", "demo")
    assert (ran.code, ran.err) == (
        2,
        "repobridge attach needs a terminal; to ask: repobridge chat NAME\n",
    )


def _prompt_below_its_rule(screen: list[str], columns: int) -> bool:
    """Whether the one prompt holds what was typed, right below a whole line of so many columns."""
    rows = [number for number, text in enumerate(screen) if text.startswith("❯")]
    typed = [screen[row].startswith("❯\N{NO-BREAK SPACE}x") for row in rows]
    return typed == [True] and screen[rows[0] - 1] == "─" * columns
