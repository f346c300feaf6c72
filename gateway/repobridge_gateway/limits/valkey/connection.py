"""How Valkey is reached, and its errors as callers hear them.

Whatever the ledger asks for may be asked twice: so a call whose connection broke is repeated once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import (
    AuthenticationError,
    ClusterDownError,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as Unconnected
from redis.exceptions import TimeoutError as TimedOut

from repobridge.errors import Refusal, Status

Client = Redis | RedisCluster
FAULTS = (RedisError, RedisClusterException, OSError)
"""What a client raises."""
_NOT_US = (AuthenticationError, NoPermissionError)
_NOT_NOW = (
    *(Unconnected, TimedOut, OSError, RedisClusterException),
    *(ClusterDownError, TryAgainError, ReadOnlyError),
)
_NOT_NOW_SAID = ("BUSY", "NOREPLICAS")
_AGAIN_AFTER_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class ValkeySettings:
    """Where it is, and how it knows us."""

    url: str
    """`redis://HOST:PORT/DB`, `rediss://…` for TLS, or `unix:///PATH`; without a password."""
    username: str = ""
    """Empty: the default one."""
    password: str = ""
    """Empty: it asks for none."""
    ca_file: str = ""
    """Whose certificates are trusted; empty: those of the machine's own authorities."""
    certificate_file: str = ""
    """Ours, if it asks for one."""
    key_file: str = ""
    is_cluster: bool = False
    """Whether it is many, of which each has a part of the keys."""
    prefix: str = "repobridge"
    """What keys begin with: others may use it too."""
    timeout_seconds: float = 2.0
    """How long one call may take."""


def connect(settings: ValkeySettings) -> Client:
    """A client; it connects when it is first used."""
    options: dict[str, Any] = {
        "decode_responses": True,
        "socket_timeout": settings.timeout_seconds,
        "socket_connect_timeout": settings.timeout_seconds,
        "retry": Retry(ConstantBackoff(_AGAIN_AFTER_SECONDS), 1),
        "username": settings.username or None,
        "password": settings.password or None,
    }
    if settings.url.startswith("rediss://"):
        options |= {
            "ssl_ca_certs": settings.ca_file or None,
            "ssl_certfile": settings.certificate_file or None,
            "ssl_keyfile": settings.key_file or None,
        }
    if settings.is_cluster:
        return RedisCluster.from_url(settings.url, **options)
    return Redis.from_url(settings.url, **options)


def translated(error: Exception) -> Refusal:
    """One of FAULTS as callers hear it."""
    refusal = _refusal(error)
    refusal.__cause__ = error
    return refusal


def _refusal(error: Exception) -> Refusal:
    text = str(error) or type(error).__name__
    if isinstance(error, _NOT_US):
        return Refusal(
            Status.UNAVAILABLE,
            "LEDGER_DENIED",
            f"Valkey does not let the gateway in: {text}. Correct its user, password or rights.",
        )
    if isinstance(error, OutOfMemoryError):
        return Refusal(
            Status.RESOURCE_EXHAUSTED,
            "LEDGER_FULL",
            "Valkey has no memory left; nothing was written. Give it more.",
        )
    if isinstance(error, _NOT_NOW) or text.startswith(_NOT_NOW_SAID):
        return Refusal(
            Status.UNAVAILABLE,
            "LEDGER_UNREACHABLE",
            f"Valkey can't be reached, or does not answer: {text}. What needs it waits.",
        )
    if isinstance(error, MovedError):
        text = "it is a cluster, which the settings don't say"
    return Refusal(Status.INTERNAL, "LEDGER_FAILED", f"Valkey failed: {text}.")
