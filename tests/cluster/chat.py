"""The gateway of an installed product, at an imitation of Discord that its pod reaches."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.cluster.addresses import NODE_ADDRESS
from tests.cluster.handle import CommandFailed
from tests.cluster.people import PATIENCE_SECONDS
from tests.cluster.processes import first_process
from tests.cluster.product import READY_SECONDS, SYSTEM, Product
from tests.fakes.discord import (
    GENEROUS,
    Channel,
    Discord,
    Gate,
    Guild,
    Message,
    Person,
    SeenMessage,
)

_IN_SYSTEM, _DEPLOYMENT = f"--namespace={SYSTEM}", "deployment/repobridge-gateway"
_PODS = ("pods", "--selector=app.kubernetes.io/component=gateway")
_TOKEN = "discord-bot"


@dataclass(frozen=True)
class Gateway:
    """The installed one."""

    product: Product

    async def kill(self) -> None:
        """Ends its process as a kernel without memory would; the kubelet starts it again."""
        (pod,) = (await self.product.cluster.get(_IN_SYSTEM, *_PODS))["items"]
        name = pod["metadata"]["name"]
        os.kill(await first_process(self.product.cluster, name, namespace=SYSTEM), signal.SIGKILL)

    @asynccontextmanager
    async def absent(self) -> AsyncIterator[None]:
        """None is there; afterwards there is one again."""
        await self._scale(0)
        await self.until_gone()
        yield
        await self._scale(1)
        await self.until_ready()

    async def log(self) -> str:
        """What it has logged since it was started last."""
        return await self._kubectl("logs", _DEPLOYMENT)

    async def until_ready(self) -> None:
        """Waits until it hears both sides."""
        wait = ("rollout", "status", _DEPLOYMENT, f"--timeout={READY_SECONDS:.0f}s")
        try:
            await self._kubectl(*wait)
        except CommandFailed as failed:
            pods = await self._kubectl("describe", *_PODS)
            raise AssertionError(f"{failed}\n{pods}\n{await self.log()}") from failed

    async def until_gone(self) -> None:
        """Waits until no pod of it is left."""
        await self._kubectl("wait", *_PODS, "--for=delete", f"--timeout={READY_SECONDS:.0f}s")

    async def _scale(self, replicas: int) -> None:
        await self._kubectl("scale", _DEPLOYMENT, f"--replicas={replicas}")

    async def _kubectl(self, *arguments: str) -> str:
        return await self.product.cluster.kubectl(_IN_SYSTEM, *arguments, seconds=PATIENCE_SECONDS)


@dataclass(frozen=True)
class Team:
    """A guild with a channel for each bridge, and the gateway that serves it."""

    gateway: Gateway
    discord: Discord
    guild: Guild
    ann: Person
    """May ask and decide, by her role."""

    async def serve(self, name: str, **spec: object) -> Channel:
        """Applies a bridge with a channel of its own."""
        channel = self.discord.add_channel(self.guild, name)
        spec = {"discord": {"channelId": str(channel.id)}, **spec}
        await self.gateway.product.apply(name, **spec)
        return channel

    async def reached(self, gate: Gate, channel: Channel) -> None:
        """Waits until the agent of a channel is at a gate of its answer."""
        try:
            await gate.reached(timeout=PATIENCE_SECONDS)
        except TimeoutError:
            shown = [each.content for each in self.discord.seen(channel)]
            stands = await self.gateway.product.kubectl("get", "rb,pods", "-o", "wide")
            log = await self.gateway.log()
            raise AssertionError(f"{channel.name}: {shown}\n{stands}\n{log[-5000:]}") from None

    async def answer_to(self, message: Message) -> SeenMessage:
        """The reply to a message."""
        return await self.discord.until_seen(
            message.channel, lambda seen: seen.reply_to == message.id, timeout=PATIENCE_SECONDS
        )

    async def until_quiet(self, channel: Channel) -> None:
        """Waits until no message shows a wake or a turn that goes on."""
        await self.discord.until(
            lambda: not any(each.content.startswith("⏳") for each in self.discord.seen(channel)),
            timeout=PATIENCE_SECONDS,
        )

    def replies(self, channel: Channel) -> Counter[int]:
        """How often each message was answered."""
        shown = self.discord.seen(channel)
        return Counter(each.reply_to for each in shown if each.reply_to is not None)

    def beside_answers(self, channel: Channel) -> list[SeenMessage]:
        """What else the gateway has left in a channel."""
        shown = self.discord.seen(channel)
        bot = self.discord.bot.name
        return [each for each in shown if each.author == bot and each.reply_to is None]

    def written(self, channel: Channel) -> list[str]:
        """What was ever written into a channel by the gateway, edits too."""
        where = f"/channels/{channel.id}/messages"
        asked = [each for each in self.discord.requests if each.path.startswith(where)]
        bodies = [each.body for each in asked if isinstance(each.body, dict)]
        return [str(body["content"]) for body in bodies if body.get("content")]


@asynccontextmanager
async def at_discord(product: Product) -> AsyncIterator[Team]:
    """Has the product's gateway serve a new guild; it goes afterwards, with what it has stored."""
    gateway = Gateway(product)
    listener = product.cluster.listen(NODE_ADDRESS)
    async with Discord(limits=GENEROUS, listener=listener) as discord:
        guild = discord.add_guild("acme")
        approver = discord.add_role(guild, "approver")
        await _give_token(product, discord)
        await product.upgrade(
            gateway={
                "enabled": True,
                "discord": {"tokenSecretRef": {"name": _TOKEN}, "apiBase": discord.api_base},
                "access": [{"roleId": str(approver.id), "permissions": ["prompt", "approve"]}],
                "limits": {"rate": {"enabled": False}},
                "resources": {"requests": {"cpu": "10m"}},
            }
        )
        try:
            await gateway.until_ready()
            ann = discord.add_person(guild, "ann", approver)
            yield Team(gateway, discord, guild, ann)
            assert discord.failures == []
        finally:
            await product.upgrade()
            await gateway.until_gone()
            claim = ("pvc", "repobridge-gateway-store")
            await product.cluster.kubectl(f"--namespace={SYSTEM}", "delete", *claim)


async def _give_token(product: Product, discord: Discord) -> None:
    await product.cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": _TOKEN, "namespace": SYSTEM},
            "stringData": {"token": discord.token},
        }
    )
