"""The edge to kopf, which watches: whatever it tells is handed on, and nothing is answered.

kopf runs in a thread and an event loop of its own: it neither takes our signals there, nor cancels
our tasks when it ends. Its handlers see raw events alone, so it adds no finalizer and writes
nothing. When it gives up (an error in a watch that it does not know), it is started again, and
lists everything then; what was deleted meanwhile only a full look of ours finds.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import kopf
from kubernetes.aio.client.configuration import Configuration

from repobridge.telemetry import Logger
from repobridge_operator.cluster import Object, Resource
from repobridge_operator.resources import naming

WATCHED = (Resource.BRIDGE, Resource.POD, Resource.CLAIM, Resource.POLICY)
"""What is watched. Secrets are not: a watch reads what is in them, whosever they are."""
SELECTOR = f"{naming.LABEL_MANAGED_BY}={naming.MANAGED_BY}"
"""The labels of what we make; others' objects never leave the API server."""
_AGAIN_SECONDS = 1.0
_LONGEST_AGAIN_SECONDS = 30.0
_STEADY_SECONDS = 60.0
_END_SECONDS = 3.0

_log = Logger("repobridge.operator")

Told = Callable[[Resource, Object, bool], None]
"""Takes an object, and whether it was deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching:
    """What is watched, and how long a watch may last."""

    namespaces: Sequence[str]
    """None: all of them."""
    watch_seconds: int
    silence_seconds: float


async def watch(
    configuration: Configuration,
    watching: Watching,
    *,
    told: Told,
    began: Callable[[], None],
) -> None:
    """Watches until it is cancelled; `told` and `began` (at each start) run in this loop."""
    loop = asyncio.get_running_loop()
    delay = _AGAIN_SECONDS
    while True:
        started = loop.time()
        began()
        outcome = await _run_in_thread(configuration, watching, told=told, loop=loop)
        delay = _AGAIN_SECONDS if loop.time() - started > _STEADY_SECONDS else delay
        _log.error("the watches ended, they are begun again", error=outcome, seconds=delay)
        await asyncio.sleep(delay)
        delay = min(delay * 2, _LONGEST_AGAIN_SECONDS)


async def _run_in_thread(
    configuration: Configuration,
    watching: Watching,
    *,
    told: Told,
    loop: asyncio.AbstractEventLoop,
) -> str:
    """Runs kopf until it ends by itself; how it did. Cancelled, it gives it a moment to end."""
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
    ended: Future[str] = Future()

    def tell(resource: Resource, found: Object, deleted: bool) -> None:
        loop.call_soon_threadsafe(told, resource, found, deleted)

    async def main() -> None:
        stop = asyncio.Event()
        started.set_result((asyncio.get_running_loop(), stop))
        await _operate(configuration, watching, tell=tell, stop=stop)

    def body() -> None:
        try:
            asyncio.run(main())
            ended.set_result("it returned")
        except BaseException as error:
            ended.set_result(f"{type(error).__name__}: {error}")

    threading.Thread(target=body, name="kopf", daemon=True).start()
    watches, stop = await asyncio.wrap_future(started)
    waiting = asyncio.wrap_future(ended)
    try:
        return await asyncio.shield(waiting)
    except asyncio.CancelledError:
        if not waiting.done():
            watches.call_soon_threadsafe(stop.set)
            # It only reads, and its thread is a daemon: nobody needs to wait for long.
            await asyncio.wait([waiting], timeout=_END_SECONDS)
        raise


async def _operate(
    configuration: Configuration,
    watching: Watching,
    *,
    tell: Callable[[Resource, Object, bool], None],
    stop: asyncio.Event,
) -> None:
    namespaces = tuple(watching.namespaces)
    await kopf.operator(
        registry=_registry(configuration, tell),
        settings=_settings(watching),
        standalone=True,
        clusterwide=not namespaces,
        namespaces=namespaces,
        stop_flag=stop,
    )


def _registry(
    configuration: Configuration, tell: Callable[[Resource, Object, bool], None]
) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry, retries=None)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        return await _connection_info(configuration)

    for resource in WATCHED:
        group, version, plural, _ = resource.value

        # A returned value would be written into the object's status.
        @kopf.on.event(
            group=group,
            version=version,
            plural=plural,
            id=plural,
            registry=registry,
            param=resource,
        )
        async def changed(event: Any, param: Any = None, **_: Any) -> None:
            tell(param, event["object"], event["type"] == "DELETED")

    return registry


class _Backoffs:
    """How long kopf waits before it tries a call again: for ever, at most 15 s."""

    def __iter__(self) -> Iterator[float]:
        delay = 0.2
        while True:
            yield delay
            delay = min(delay * 2, 15.0)


def _settings(watching: Watching) -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.process.ultimate_exiting_timeout = None
    # A worker holds its object for as long as it idles: thousands of them at the start.
    settings.queueing.idle_timeout = 0.05
    settings.networking.request_timeout = 30.0
    settings.networking.connect_timeout = 10.0
    settings.networking.error_backoffs = _Backoffs()
    settings.watching.connect_timeout = 10.0
    settings.watching.server_timeout = watching.watch_seconds
    settings.watching.client_timeout = watching.watch_seconds + 30.0
    settings.watching.inactivity_timeout = watching.silence_seconds
    settings.watching.chunk_size = 100
    for resource in WATCHED:
        if resource is not Resource.BRIDGE:
            group, version, plural, _ = resource.value
            settings.watching.label_selectors[group, version, plural] = SELECTOR
    return settings


async def _connection_info(configuration: Configuration) -> kopf.ConnectionInfo:
    authorization = await configuration.get_api_key_with_prefix("BearerToken") or ""
    scheme, _, token = authorization.rpartition(" ")
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        username=configuration.username or None,
        password=configuration.password or None,
        scheme=scheme.title() or None,
        token=token or None,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
        proxy_url=configuration.proxy,
    )


def quiet_kopf() -> None:
    """Keeps kopf's own steady state out of the logs, and that it is not to take signals."""
    logging.getLogger("kopf").setLevel(logging.WARNING)
    logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)
    logging.getLogger("kubernetes").setLevel(logging.INFO)
