"""The gateway as a process, between the imitation of Discord and a real API server.

Operator, runner and certificates are real; the agent is scripted, and the node is stood in for.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from repobridge_operator.resources.identity import GATEWAY_SECRET
from tests.apiserver.access import User
from tests.apiserver.operators import Operator
from tests.apiserver.test_gateway_fleet import material, team, user
from tests.apiserver.test_operator_runners import Team
from tests.fakes.discord import GENEROUS, Answer, Discord, SeenMessage
from tests.secure_runner import swap
from tests.tied import tied

__all__ = ["team", "user"]

PATIENCE_SECONDS = 120.0
_BRIDGES = "repobridge_gateway_bridges{"


@pytest.fixture
async def discord() -> AsyncIterator[Discord]:
    async with Discord(limits=GENEROUS) as made:
        yield made
        assert made.failures == []


class Gateway:
    """How the gateway is started in a namespace, and by whom."""

    def __init__(self, user: User, namespace: str, discord: Discord, directory: Path) -> None:
        self._user = user
        self._namespace = namespace
        self._discord = discord
        self._directory = directory
        self.tls = directory / "gateway"

    def tell(self, *, guild: str, **said: object) -> Path:
        """Writes the settings, with one guild for the namespace."""
        config = self._directory / "gateway.yaml"
        told = {
            "token_file": str(self._directory / "token"),
            "discord_api_base": self._discord.api_base,
            "store_directory": str(self._directory / "store"),
            "namespaces": [self._namespace],
            "kubeconfig": str(self._user.kubeconfig),
            "tls_directory": str(self.tls),
            "listen": "127.0.0.1:0",
            "tenancy": [{"namespaces": [self._namespace], "guilds": [guild]}],
            **said,
        }
        config.write_text(json.dumps(told))
        return config

    def start(self, log: Path, *, guild: str) -> Operator:
        """A process with its log; one store for all of them."""
        (self._directory / "token").write_text(f"{self._discord.token}\n")
        config = self.tell(guild=guild)
        command = [sys.executable, "-m", "repobridge_gateway", "--config", str(config)]
        with log.open("wb") as output:
            process = subprocess.Popen(
                tied(command),
                env={"PATH": os.environ["PATH"], "HOME": str(self._directory)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return Operator(process, log)

    @asynccontextmanager
    async def running(self, *, guild: str) -> AsyncIterator[Operator]:
        """One that hears both sides and serves its bridge, killed at the end."""
        gateway = self.start(self._directory / "gateway.log", guild=guild)
        try:
            await gateway.logged("gateway ready")
            await gateway.logged("commands registered")
            await serves(int((await gateway.logged("gateway starts"))["port"]))
            yield gateway
        finally:
            gateway.kill()


def answer(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""


def filled(answer: Answer) -> SeenMessage | None:
    """A command's answer, once it is there."""
    message = answer.message
    return message if message is not None and not message.is_loading else None


async def serves(port: int, *, whether: bool = True) -> None:
    """Waits until it serves a bridge: Discord is asked first whose channel it is; or none."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            _, metrics = await asyncio.to_thread(answer, port, "/metrics")
            lines = [each for each in metrics.splitlines() if each.startswith(_BRIDGES)]
            if any(not each.endswith(" 0.0") for each in lines) is whether:
                return
            await asyncio.sleep(0.05)


async def test_a_message_wakes_a_pod_from_zero_and_is_answered_once(
    user: User, team: Team, discord: Discord, tmp_path: Path
) -> None:
    guild = discord.add_guild("acme")
    channel = discord.add_channel(guild, "payments")
    ann = discord.add_person(guild, "ann")
    access = [{"userId": str(ann.id), "permissions": ["prompt"]}]
    made = await team.make(discord={"channelId": str(channel.id)}, access=access)
    gateway = Gateway(user, team.place.namespace, discord, tmp_path)
    swap(gateway.tls, await material(team.place, GATEWAY_SECRET))
    async with gateway.running(guild=str(guild.id)) as process, team.runner(made):
        port = int((await process.logged("gateway starts"))["port"])
        assert (await asyncio.to_thread(answer, port, "/readyz"))[0] == 200
        asked = ann.say(channel, "hello")
        reply = await discord.until_seen(channel, lambda m: m.reply_to == asked.id)
        assert reply.author == "repobridge"
        assert await team.replicas() == 1
        _, metrics = await asyncio.to_thread(answer, port, "/metrics")
        assert 'repobridge_gateway_bridges{phase="READY"} 1.0' in metrics

        # Settings that are broken change nothing, and good ones hold at once.
        gateway.tell(guild="1", acess=[])
        process.process.send_signal(signal.SIGHUP)
        await process.logged("settings refused, the last good ones stay")
        await serves(port)
        gateway.tell(guild="1", log_format="text")
        waiting = await process.logged("settings wait for a restart")
        assert waiting["waiting"] == "log_format"
        await serves(port, whether=False)
        reloads = [{"userId": str(ann.id), "permissions": ["reload_config"]}]
        gateway.tell(guild=str(guild.id), access=reloads)
        await serves(port)
        gateway.tell(guild=str(guild.id), access=reloads, acess=[])
        told = await ann.command(channel, "reload")
        problem = "The settings are wrong: acess (line 1): no such field."
        text = f"The settings can't be used; everything is as it was.\n{problem}"
        shown = await discord.until(lambda: filled(told))
        assert shown is not None
        assert (shown.content, shown.is_ephemeral) == (text, True)

        # Its store is its own: a second gateway says so, and ends.
        second = gateway.start(tmp_path / "second.log", guild=str(guild.id))
        assert await asyncio.to_thread(second.process.wait, 120) == 2
        assert "Another gateway" in second.log.read_text()

        assert await process.terminate() == 0
        errors = [line["msg"] for line in process.lines() if line.get("level") == "ERROR"]
        assert set(errors) == {"settings refused, the last good ones stay"}
    # What is asked while nobody listens is answered once somebody does.
    late = ann.say(channel, "hello again")
    async with gateway.running(guild=str(guild.id)), team.runner(made):
        await discord.until_seen(channel, lambda m: m.reply_to == late.id)
    replies = [m.reply_to for m in discord.seen(channel) if m.reply_to]
    assert replies == [asked.id, late.id]


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ({}, "give either token or token_file"),
        ({"token_file": "/nowhere"}, "The token can't be read"),
        ({"token": "t", "tls_directory": "/nowhere"}, "/nowhere: tls.crt: No such file"),
    ],
    ids=["token", "file", "certificate"],
)
def test_what_a_person_has_to_mend_is_one_sentence(
    tmp_path: Path, told: dict[str, str], sentence: str
) -> None:
    config = tmp_path / "gateway.yaml"
    config.write_text(json.dumps({"store_directory": str(tmp_path / "store"), **told}))
    done = subprocess.run(
        [sys.executable, "-m", "repobridge_gateway", "--config", str(config)],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr.splitlines()[-1]
