"""How the gateway tells a cluster and reaches its pods: `/scale`, and mutual TLS to an address.

The certificate that a channel accepts is the bridge's own, so that an address that went to another
pod answers nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import grpc

from repobridge import tls
from repobridge.errors import Refusal
from repobridge.telemetry import Logger
from repobridge.tls_files import TlsError
from repobridge_gateway.fleet.bridge_api import BridgeApi
from repobridge_gateway.fleet.observed import ClusterError, Observed
from repobridge_gateway.session_client import CHANNEL_OPTIONS, SessionClient
from repobridge_gateway.watched import Watched

_LOOK_SECONDS = 30.0
_OWN_OPTIONS = {
    # An address is told before the pod's network is up: a first attempt may get no answer at all.
    "grpc.min_reconnect_backoff_ms": 2_000,
    # A runner takes no more pings than one in 5 minutes from who has nothing to say.
    "grpc.keepalive_time_ms": 330_000,
    "grpc.keepalive_timeout_ms": 20_000,
}
OPTIONS = (*((name, value) for name, value in CHANNEL_OPTIONS if name not in _OWN_OPTIONS),
           *_OWN_OPTIONS.items())  # fmt: skip
_log = Logger(__name__)


class CredentialSource(Protocol):
    """Where our own certificate comes from."""

    def credentials(self) -> grpc.ChannelCredentials:
        """Those that are good now, the same object while they are; raises TlsError."""


class Identity:
    """Our certificate as it is now: lines that were made with another are made anew."""

    def __init__(self, source: CredentialSource) -> None:
        """Raises TlsError where there is no certificate."""
        self._source = source
        self.now = Watched(source.credentials())

    async def run(self) -> None:
        """Looks twice a minute, until it is cancelled."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Takes what the files say now."""
        try:
            latest = self._source.credentials()
        except TlsError as error:
            _log.error("certificate not read", error=str(error))
            return
        if latest is not self.now.value:
            self.now.set(latest)


class TlsReach:
    """One bridge's."""

    again_seconds = 0.05

    def __init__(self, api: BridgeApi, identity: Identity, *, namespace: str, uid: str) -> None:
        self._api = api
        self._identity = identity
        self._namespace = namespace
        self._uid = uid

    async def wish(self, name: str, replicas: int) -> None:
        """Wishes the bridge awake or asleep; raises a Refusal."""
        await self._api.wish(self._namespace, name, replicas)

    @asynccontextmanager
    async def opened(self, seen: Observed) -> AsyncIterator[TlsLine]:
        """A channel to the address in the status; raises ClusterError where that is none."""
        credentials = self._identity.now.value
        try:
            channel = tls.bridge_channel(
                seen.address, seen.port, uid=self._uid, credentials=credentials, options=OPTIONS
            )
        except ValueError as error:
            raise ClusterError(
                f"{seen.address!r} is no address of bridge {seen.name}: {error}"
            ) from error
        async with channel:
            yield TlsLine(channel, self._uid, self._identity, credentials)


class TlsLine:
    """A channel to one pod, good as long as our certificate is the one that it shows."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        uid: str,
        identity: Identity,
        credentials: grpc.ChannelCredentials,
    ) -> None:
        self.channel = channel
        self._uid = uid
        self._identity = identity
        self._credentials = credentials
        self._told = ""

    async def check(self, refusal: Refusal, client: SessionClient) -> None:
        """Says once what is in the way: a pod that still starts refuses, too."""
        if refusal.reason != self._told:
            self._told = refusal.reason
            _log.info("runner not reached yet", bridge_uid=self._uid, error=str(refusal))

    async def verify(self, client: SessionClient) -> None:
        """Raises ClusterError where the runner takes itself for another bridge's."""
        found = (await client.sessions()).runner.bridge_uid
        if found != self._uid:
            raise ClusterError(
                f"The pod at the bridge's address serves bridge {found or '(none)'} instead."
            )

    async def outlived(self) -> None:
        """Returns once our certificate is another one."""
        await self._identity.now.until(lambda now: now is not self._credentials)
