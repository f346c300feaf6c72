"""The operator once its settings are read: waits for the Lease, and acts while it holds it."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import socket
from collections.abc import Awaitable
from typing import NoReturn

from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from repobridge.connection import connection
from repobridge.lease import Lease, LeaseLost
from repobridge.lease_record import Timing
from repobridge.probes import Health, serving
from repobridge.process import make_process_private
from repobridge.telemetry import Logger, configure
from repobridge_operator.cluster import Cluster
from repobridge_operator.engine import Engine
from repobridge_operator.handlers import quiet_kopf
from repobridge_operator.metrics import OperatorMetrics
from repobridge_operator.settings import OperatorSettings

_LOST_EXIT = 3

_log = Logger("repobridge.operator")


async def serve(settings: OperatorSettings) -> None:
    """Runs until SIGTERM or SIGINT; the process exits with 3 where the Lease is lost."""
    make_process_private()  # the CA's key is in its memory
    configure(settings.log_format, level=logging.getLevelNamesMapping()[settings.log_level.upper()])
    quiet_kopf()
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    configuration = await connection(settings.kubeconfig, settings.context)
    metrics, health = OperatorMetrics(), Health()
    with serving(settings.listen, health, metrics.registry) as port:
        _log.info("operator starts", port=port, namespaces=",".join(settings.namespaces))
        beating = asyncio.create_task(health.run(), name="heartbeat")
        try:
            async with ApiClient(configuration) as client:
                await _serve(
                    settings,
                    configuration=configuration,
                    client=client,
                    metrics=metrics,
                    health=health,
                    stopping=stopping,
                )
        finally:
            beating.cancel()
    _log.info("operator stopped")


async def _serve(
    settings: OperatorSettings,
    *,
    configuration: Configuration,
    client: ApiClient,
    metrics: OperatorMetrics,
    health: Health,
    stopping: asyncio.Event,
) -> None:
    identity = settings.identity or f"{socket.gethostname()}-{secrets.token_hex(4)}"
    lease = Lease.on(
        client,
        namespace=settings.namespace,
        name=settings.lease_name,
        identity=identity,
        timing=Timing.of(settings.lease_seconds),
    )
    cluster = Cluster(
        client,
        read_seconds=settings.call_seconds,
        write_seconds=min(settings.call_seconds, lease.margin_seconds),
        fence=lease.check,
        told=metrics.called,
    )
    health.is_ready = True  # one that waits for the Lease is ready, too
    if not await _first(lease.__aenter__(), stopping):
        return
    metrics.leads(True)
    watching = asyncio.create_task(_exit_when_lost(lease), name="lease watcher")
    try:
        engine = Engine(
            settings,
            configuration=configuration,
            cluster=cluster,
            metrics=metrics,
            identity=identity,
        )
        await engine.run(stopping)
    except* LeaseLost:
        _exit_lost()
    finally:
        watching.cancel()
        metrics.leads(False)
        await lease.__aexit__(None, None, None)


async def _first(entering: Awaitable[object], stopping: asyncio.Event) -> bool:
    """Whether what is awaited came before the end."""
    entered = asyncio.ensure_future(entering)
    ending = asyncio.create_task(stopping.wait())
    await asyncio.wait({entered, ending}, return_when=asyncio.FIRST_COMPLETED)
    ending.cancel()
    if entered.done():
        entered.result()
        return True
    entered.cancel()
    await asyncio.wait({entered})
    return False


async def _exit_when_lost(lease: Lease) -> None:
    """Ends the process at once: another may act from now on, and nothing here is worth saving."""
    await lease.lost.wait()
    _exit_lost()


def _exit_lost() -> NoReturn:
    _log.error("another operator may lead by now, so this one exits")
    logging.shutdown()
    os._exit(_LOST_EXIT)
