"""The way to the runners: one channel for each pod that is spoken to, over mutual TLS.

The certificate that a channel accepts is the bridge's own, so that an address that went to another
pod answers nothing. The calls themselves are the core's; each has a short deadline, and ends in a
Refusal also when its channel is closed under it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import grpc

from repobridge import tls
from repobridge.errors import Refusal, Status
from repobridge.session.calls import RunnerCalls
from repobridge.session.events import Actor, InterruptCause
from repobridge.telemetry import Logger
from repobridge.tls_files import TlsError

CALL_SECONDS = 5.0
"""A runner answers at once or hangs; a lease is six times as long."""
ACTOR = Actor(id="operator", display_name="RepoBridge", source="operator")
OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 4_000),
    ("grpc.max_reconnect_backoff_ms", 4_000),
)
_FRESH_SECONDS = 30.0
_log = Logger("repobridge.operator")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a bridge's runner listens, and whose it has to be."""

    bridge_uid: str
    pod_uid: str
    address: str
    port: int


class Dialler(Protocol):
    """Opens channels to runners."""

    def identity(self) -> object:
        """Which certificate is in use: another object once another is; raises Refusal."""

    def dial(self, place: Place) -> grpc.aio.Channel:
        """A channel that nothing has been sent over yet; raises Refusal."""


class Credentials(Protocol):
    """Where the operator's own certificate comes from."""

    def credentials(self) -> grpc.ChannelCredentials:
        """Those that are good now, the same object while they are; raises TlsError."""


class TlsDialler:
    """Dials as the operator's role, with the certificate that is good now."""

    def __init__(self, credentials: Credentials, *, clock: Callable[[], float]) -> None:
        self._tls = credentials
        self._clock = clock
        self._read_at = float("-inf")
        self._credentials: grpc.ChannelCredentials | None = None

    def identity(self) -> object:
        """The credentials; they are asked for anew twice a minute."""
        return self._latest()

    def dial(self, place: Place) -> grpc.aio.Channel:
        """A channel that accepts only the bridge's own certificate."""
        try:
            return tls.bridge_channel(
                place.address,
                place.port,
                uid=place.bridge_uid,
                credentials=self._latest(),
                options=OPTIONS,
            )
        except ValueError as error:
            sentence = f"{place.address} is no address of bridge {place.bridge_uid}: {error}"
            raise Refusal(Status.UNAVAILABLE, "BAD_ADDRESS", sentence) from error

    def _latest(self) -> grpc.ChannelCredentials:
        now = self._clock()
        if self._credentials is None or now >= self._read_at + _FRESH_SECONDS:
            try:
                self._credentials = self._tls.credentials()
            except TlsError as error:
                raise Refusal(Status.UNAVAILABLE, "NO_CERTIFICATE", str(error)) from error
            self._read_at = now
        return self._credentials


class _Line:
    def __init__(self, place: Place, identity: object, channel: grpc.aio.Channel) -> None:
        self.place = place
        self.identity = identity
        self.channel = channel
        self.calls = RunnerCalls(channel, call_seconds=CALL_SECONDS)


class Runners:
    """The open channels, by pod.

    Each costs 110 KB; to open it takes 1 ms. So whoever won't ask a pod again soon forgets it.
    """

    def __init__(self, dialler: Dialler) -> None:
        self._dialler = dialler
        self._lines: dict[str, _Line] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._lines)

    def calls(self, place: Place) -> RunnerCalls:
        """The calls to the runner at a place; raises Refusal where it can't be dialled."""
        identity = self._dialler.identity()
        line = self._lines.get(place.pod_uid)
        if line is not None and (line.place != place or line.identity is not identity):
            self.forget(place.pod_uid)
            line = None
        if line is None:
            line = _Line(place, identity, self._dialler.dial(place))
            self._lines[place.pod_uid] = line
        return line.calls

    async def interrupt_turns(self, place: Place) -> int:
        """Tells every open turn to end, so that the runner can be drained; how many there were.

        A session that does not answer keeps no other from being told.
        """
        calls = self.calls(place)
        turns = await calls.open_turns()
        told = (calls.interrupt(each, ACTOR, InterruptCause.DRAIN) for each in turns)
        for turn, result in zip(
            turns, await asyncio.gather(*told, return_exceptions=True), strict=True
        ):
            if isinstance(result, BaseException):
                if not isinstance(result, Refusal):
                    raise result
                _log.warning(
                    "turn not interrupted",
                    bridge_uid=place.bridge_uid,
                    conversation=turn,
                    error=str(result),
                )
        return len(turns)

    def forget(self, pod_uid: str) -> None:
        """Closes the channel to a pod; calls under way end in a Refusal."""
        line = self._lines.pop(pod_uid, None)
        if line is not None:
            task = asyncio.get_running_loop().create_task(line.channel.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Closes every channel."""
        for pod_uid in tuple(self._lines):
            self.forget(pod_uid)
        await asyncio.gather(*self._closing, return_exceptions=True)
