"""Everything on one machine: the fleet, the router, the local socket and the serving terminal."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repobridge import durations
from repobridge.errors import RepoBridgeError
from repobridge.session.events import Actor
from repobridge.telemetry import Logger
from repobridge_gateway.authority import Authority
from repobridge_gateway.channels import FixedChannels
from repobridge_gateway.channels import Served as Channel
from repobridge_gateway.config import Bridge, Config
from repobridge_gateway.console import TerminalConsole
from repobridge_gateway.fleet.local import LocalFleet
from repobridge_gateway.fleet.port import Bridge as AnyBridge
from repobridge_gateway.fleet.settings import BridgeSpec, FleetSettings
from repobridge_gateway.limits.memory import MemoryLedger
from repobridge_gateway.limits.memory_metrics import MemoryLedgerMetrics
from repobridge_gateway.local_server import open_local_server
from repobridge_gateway.metrics import GatewayMetrics
from repobridge_gateway.reloading import Reloading
from repobridge_gateway.render.wake import WakeStage
from repobridge_gateway.router import Charge, Router
from repobridge_gateway.signals import signals
from repobridge_gateway.terminal import run_terminal
from repobridge_gateway.throttle import Throttle

if TYPE_CHECKING:
    from repobridge.machine_address import MachineAddress
    from repobridge_gateway.discord_gateway import DiscordGateway

_log = Logger(__name__)


class NothingToServe(RepoBridgeError):
    """The configuration leaves no bridge that this version can serve."""


@dataclass(frozen=True, kw_only=True)
class Served:
    """Who serves, and from where."""

    config: Config
    fleet: FleetSettings
    socket: Path
    me: Actor
    """The person at the serving terminal."""
    downloads: Path
    metrics_address: str = ""
    """HOST:PORT; empty: none."""
    read: Callable[[], Config]
    """Reads the configuration again; raises RepoBridgeError for what is wrong with it."""
    console: TerminalConsole | None = None
    """None where stdin is no terminal."""


def servable(config: Config) -> tuple[Bridge, ...]:
    """The bridges that this version serves; raises NothingToServe."""
    if not config.bridges:
        raise NothingToServe(f"{config.path} names no repos; add one under repos.")
    if _in_discord(config) and not config.discord_token.get_secret_value():
        raise NothingToServe(
            f"{config.path} has repos in Discord and no token for the bot; set"
            " providers.discord.bot_token (docs/discord-setup.md says where it comes from)."
        )
    return config.bridges


def _in_discord(config: Config) -> tuple[Bridge, ...]:
    return tuple(bridge for bridge in config.bridges if bridge.provider == "discord")


async def serve(served: Served) -> None:
    """Serves until a signal or the person at the terminal ends it; then ends every runner."""
    config, settings = served.config, served.fleet
    bridges = servable(config)
    _log.info("starting bridge", config=str(config.path), repos=len(bridges))
    _say_what_is_so(config)
    specs = (
        BridgeSpec(name=b.name, provider=b.provider, llm=b.llm, working_dir=b.working_dir)
        for b in bridges
    )
    fleet = LocalFleet(specs, settings)
    metrics = GatewayMetrics()
    authority = Authority(config.policy, metrics=metrics)
    channels = FixedChannels(_channels(config, fleet, authority))
    put = partial(_put, fleet=fleet, authority=authority, channels=channels)
    reloading = Reloading(config, served.read, path=config.path, put=put, metrics=metrics)
    gateway = _discord(served, channels, authority, reloading) if _in_discord(config) else None
    router = Router(fleet, charge=_charging(fleet, authority, gateway, metrics))
    stopping = asyncio.Event()
    # Before anybody hears that we listen, and may send one.
    async with signals(on_first=stopping.set, on_second=fleet.kill, on_reload=reloading.ask):
        server = await open_local_server(served.socket, fleet=fleet, router=router)
        _log.info("listening", socket=str(served.socket))
        try:
            machines = _machines(fleet, served.metrics_address, metrics)
        except RepoBridgeError:
            await server.close()
            raise
        running = asyncio.create_task(fleet.run(), name="fleet")
        works = {"end": stopping.wait(), "settings": reloading.run()}
        if gateway is not None:
            works["discord"] = gateway.run()
        try:
            await _until_ended(served, fleet, router, running=running, works=works)
        finally:
            _log.info("shutting down")
            await server.stop_accepting()
            fleet.close()
            await running
            await server.close()
            if machines is not None:
                await asyncio.to_thread(machines.close)


def _machines(fleet: LocalFleet, address: str, counted: GatewayMetrics) -> MachineAddress | None:
    if not address:
        return None
    from repobridge_gateway.fleet import metrics  # noqa: PLC0415 - only where asked for

    machines = metrics.serve(fleet, address, counted.registry)
    _log.info("metrics served", address=address, port=machines.port)
    return machines


async def _until_ended(
    served: Served,
    fleet: LocalFleet,
    router: Router,
    *,
    running: asyncio.Task[None],
    works: Mapping[str, Coroutine[Any, Any, object]],
) -> None:
    """Until one of the works, or the terminal or the fleet, has ended."""
    tasks: list[asyncio.Task[object]] = [
        asyncio.create_task(work, name=name) for name, work in works.items()
    ]
    with contextlib.ExitStack() as stack:
        if served.console:
            console = stack.enter_context(served.console.opened())
            talk = run_terminal(console, fleet, router, me=served.me, downloads=served.downloads)
            tasks.append(asyncio.create_task(talk, name="terminal"))
        try:
            done, _ = await asyncio.wait({*tasks, running}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _say_what_is_so(config: Config) -> None:
    _log.info("whoever may use the socket may prompt and approve")
    _say_whether_open(config)


def _say_whether_open(config: Config) -> None:
    if _in_discord(config) and config.is_open:
        _log.warning("no access rules: whoever can write in a channel may prompt and approve there")


def _put(
    config: Config, *, fleet: LocalFleet, authority: Authority, channels: FixedChannels
) -> None:
    """Brings what can change live into force."""
    # What could fail comes first, so that nothing is half done.
    policy = config.policy
    found = {each.channel_id: each for each in _channels(config, fleet, authority)}
    authority.obey(policy)
    fleet.idle_after(config.idle_nanoseconds)
    channels.served.set(found)
    _say_whether_open(config)


def _charging(
    fleet: LocalFleet,
    authority: Authority,
    gateway: DiscordGateway | None,
    metrics: GatewayMetrics,
) -> Charge:
    """How messages from terminals are charged: beside those from Discord, where there are some."""
    memory = MemoryLedger()
    if gateway is None:
        metrics.registry.register(MemoryLedgerMetrics(memory))
    throttle = Throttle(
        gateway.ledger if gateway else lambda: memory,
        authority=authority,
        metrics=metrics,
    )

    async def charge(bridge: AnyBridge, message_id: str) -> None:
        uid = fleet.bridge(bridge.name).uid
        if gateway is not None:
            await gateway.opened()  # who writes in the first moment of `serve` waits that long
        await throttle.charge_terminal(message_id, uid=uid, name=bridge.name)

    return charge


def _channels(config: Config, fleet: LocalFleet, authority: Authority) -> tuple[Channel, ...]:
    return tuple(
        Channel(
            uid=fleet.bridge(bridge.name).uid,
            bridge=fleet.bridge(bridge.name),
            channel_id=bridge.channel_id,
            created_at=fleet.bridge(bridge.name).made_at,
            access=authority.of(()),
            attachment_threshold=config.output_threshold,
            stages=(WakeStage.STARTING,),
            idle_seconds=durations.seconds(config.idle_nanoseconds),
            attach=f"repobridge attach {shlex.quote(bridge.name)}",
        )
        for bridge in _in_discord(config)
    )


def _discord(
    served: Served, channels: FixedChannels, authority: Authority, reloading: Reloading[Config]
) -> DiscordGateway:
    # The library takes a while to import, and most terminals don't need it.
    from repobridge_gateway import discord_gateway  # noqa: PLC0415
    from repobridge_gateway.bot.client import BotSettings  # noqa: PLC0415

    config = served.config
    settings = discord_gateway.DiscordSettings(
        bot=BotSettings(
            token=config.discord_token,
            api_base=config.discord_api_base,
            proxy=config.discord_proxy,
        ),
        store_directory=served.fleet.state_dir / "discord",
    )
    return discord_gateway.DiscordGateway(
        settings,
        channels,
        authority=authority,
        metrics=reloading.metrics,
        reload=reloading.reload,
    )
