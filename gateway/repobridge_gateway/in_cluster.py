"""The gateway as a process in a cluster: Discord on one side, RepoBridges on the other."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from kubernetes.aio.client.api_client import ApiClient
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from repobridge.claims import Tenancy
from repobridge.connection import connection
from repobridge.probes import Health, serving
from repobridge.process import make_process_private
from repobridge.telemetry import Logger, configure, set_level
from repobridge.tls import ClientTls
from repobridge.tls_files import TlsDirectory
from repobridge_gateway.authority import Authority
from repobridge_gateway.bot.client import BotSettings
from repobridge_gateway.discord_gateway import DiscordGateway, DiscordSettings
from repobridge_gateway.fleet.bridge_api import BridgeApi
from repobridge_gateway.fleet.kubernetes import KubernetesFleet
from repobridge_gateway.fleet.metrics import by_phase
from repobridge_gateway.fleet.presence import Presence
from repobridge_gateway.fleet.tls_reach import Identity
from repobridge_gateway.metrics import GatewayMetrics
from repobridge_gateway.reloading import Reloading
from repobridge_gateway.settings import GatewaySettings
from repobridge_gateway.together import until_first

_READY_LOOK_SECONDS = 0.5
_log = Logger("repobridge.gateway")


async def serve(
    settings: GatewaySettings, *, path: Path | None, read: Callable[[], GatewaySettings]
) -> None:
    """Runs until SIGTERM or SIGINT; raises RepoBridgeError for what a person has to mend.

    The settings are read again with `read` when their file at `path` changes, and at SIGHUP.
    Everything that must not be lost is in the store before it has an effect, so that the end needs
    no more than that the tasks end and the store closes.
    """
    make_process_private()  # the bot's token is in its memory
    configure(settings.log_format, level=settings.level)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    token = settings.bot_token()
    identity = Identity(ClientTls(TlsDirectory(settings.tls_directory)))
    configuration = await connection(settings.kubeconfig, settings.context)
    async with ApiClient(configuration) as client:
        registry = CollectorRegistry()
        metrics = GatewayMetrics(registry)
        authority = Authority(settings.policy(), metrics=metrics)
        fleet = _fleet(settings, client, identity, authority)
        put = partial(_put, authority=authority, fleet=fleet)
        reloading = Reloading(settings, read, path=path, put=put, metrics=metrics)
        loop.add_signal_handler(signal.SIGHUP, reloading.ask)
        presence = Presence(fleet)
        gateway = DiscordGateway(
            DiscordSettings(
                bot=BotSettings(
                    token=token,
                    api_base=settings.discord_api_base,
                    proxy=settings.discord_proxy,
                ),
                store_directory=settings.store_directory,
            ),
            fleet,
            authority=authority,
            companion=presence,
            metrics=metrics,
            reload=reloading.reload,
        )
        health = Health()
        registry.register(_Bridges(fleet))
        with serving(settings.listen, health, registry) as port:
            _log.info("gateway starts", port=port, namespaces=",".join(settings.namespaces))
            await until_first(
                {
                    "end": stopping.wait(),
                    "gateway": gateway.run(),
                    "fleet": fleet.run(),
                    "heartbeat": health.run(),
                    "settings": reloading.run(),
                    "readiness": _tell_readiness(health, fleet, presence),
                }
            )
    _log.info("gateway stopped")


def _put(settings: GatewaySettings, *, authority: Authority, fleet: KubernetesFleet) -> None:
    """Brings what can change live into force."""
    # What could fail comes first, so that nothing is half done.
    policy, tenancy = settings.policy(), _tenancy(settings)
    authority.obey(policy)
    fleet.obey(tenancy)
    set_level(settings.level)


def _tenancy(settings: GatewaySettings) -> Tenancy:
    return tuple(each.rule() for each in settings.tenancy)


def _fleet(
    settings: GatewaySettings, client: ApiClient, identity: Identity, authority: Authority
) -> KubernetesFleet:
    api = BridgeApi(
        client,
        call_seconds=settings.call_seconds,
        watch_seconds=settings.watch_seconds,
        silence_seconds=settings.watch_silence_seconds,
    )
    return KubernetesFleet(
        api,
        identity,
        namespaces=settings.namespaces,
        tenancy=_tenancy(settings),
        authority=authority,
    )


async def _tell_readiness(health: Health, fleet: KubernetesFleet, presence: Presence) -> None:
    """Ready is who hears both sides."""
    while True:
        is_ready = fleet.is_current and presence.is_connected
        if is_ready != health.is_ready:
            _log.info("gateway ready" if is_ready else "gateway not ready")
            health.is_ready = is_ready
        await asyncio.sleep(_READY_LOOK_SECONDS)


class _Bridges(Collector):
    """How many bridges are served, by where they stand."""

    def __init__(self, fleet: KubernetesFleet) -> None:
        self._fleet = fleet

    def collect(self) -> Iterable[Metric]:
        """Asked for by a thread of the server: it only reads values that are replaced whole."""
        yield by_phase([each.bridge for each in self._fleet.served.value.values()])
