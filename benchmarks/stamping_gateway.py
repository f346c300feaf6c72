"""The Discord gateway in a process of its own, which tells when each message was with its runner.

    python -m benchmarks.stamping_gateway

The configuration: `token` and `api_base` of the imitation; `directory`, for what it keeps;
`calls_per_second`; and `bridges`, each with its `channel`, and the `socket` of its runner, which is
always there. Without a socket the bridge sleeps, and nothing wakes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import uuid
from pathlib import Path

import grpc
import pydantic

from benchmarks.arrived import Arrived
from benchmarks.commanded import Json, configuration, obey
from repobridge.crd_access import Limits, Rate
from repobridge.telemetry import configure
from repobridge_gateway.access import OPEN
from repobridge_gateway.bot.client import BotSettings
from repobridge_gateway.channels import FixedChannels, Served
from repobridge_gateway.discord_gateway import DiscordGateway, DiscordSettings
from repobridge_gateway.fleet.local import LocalFleet
from repobridge_gateway.fleet.settings import BridgeSpec, FleetSettings
from repobridge_gateway.fleet.status import RunnerLink
from repobridge_gateway.session_client import CHANNEL_OPTIONS, SessionClient
from repobridge_gateway.session_values import Submission, Submitted
from tests.programs.gateway_killed_at import AwakeBridge


class _StampingClient(SessionClient):
    """Notes when `Submit` had answered: then the runner has committed the message."""

    def __init__(self, channel: grpc.aio.Channel, arrived: Arrived) -> None:
        super().__init__(channel)
        self._arrived = arrived

    async def submit(self, submission: Submission) -> Submitted:
        """Makes a message durable in the runner."""
        answer = await super().submit(submission)
        self._arrived.note(submission.message_id)
        return answer


async def main(config: Json) -> None:
    """Serves until nobody tells it anything any more."""
    configure()
    arrived = Arrived()
    settings = DiscordSettings(
        bot=BotSettings(token=pydantic.SecretStr(config["token"]), api_base=config["api_base"]),
        store_directory=Path(config["directory"]) / "store",
        calls_per_second=config["calls_per_second"],
    )
    async with contextlib.AsyncExitStack() as stack:
        asleep = _asleep(config)
        served = [
            Served(
                uid=str(uuid.uuid5(uuid.NAMESPACE_OID, each["channel"])),
                bridge=await _awake(each["socket"], stack, arrived)
                if each["socket"]
                else asleep.bridge(each["channel"]),
                channel_id=each["channel"],
                created_at=0.0,
                access=OPEN,
                limits=Limits(rate=Rate(enabled=False)),
            )
            for each in config["bridges"]
        ]
        gateway = DiscordGateway(settings, FixedChannels(served))
        serving = asyncio.create_task(gateway.run())
        told = asyncio.create_task(obey({"arrived": arrived.arrived}))
        try:
            done, _ = await asyncio.wait({serving, told}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (serving, told):
                task.cancel()
            await asyncio.gather(serving, told, return_exceptions=True)


async def _awake(socket: str, stack: contextlib.AsyncExitStack, arrived: Arrived) -> AwakeBridge:
    channel = grpc.aio.insecure_channel(f"unix:{socket}", options=CHANNEL_OPTIONS)
    await stack.enter_async_context(channel)
    return AwakeBridge(RunnerLink(_StampingClient(channel, arrived), channel))


def _asleep(config: Json) -> LocalFleet:
    """Bridges of this machine in a fleet that does not run: each waits to be woken."""
    directory = Path(config["directory"])
    settings = FleetSettings(
        command=(),
        environment={},
        state_dir=directory / "state",
        socket_dir=directory / "sockets",
        guard_root_pid=os.getpid(),
    )
    specs = (
        BridgeSpec(name=each["channel"], provider="discord", llm="claude", working_dir=directory)
        for each in config["bridges"]
        if not each["socket"]
    )
    return LocalFleet(specs, settings)


if __name__ == "__main__":

    async def _run() -> None:
        await main(await configuration())

    asyncio.run(_run())
