"""Rate limits as Discord has them: buckets by route and channel, 50 a second in all, and the ban.

The sizes are those that many have measured; Discord tells none of them in advance.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tests.fakes.discord.clock import Clock
from tests.fakes.discord.model import Json
from tests.fakes.discord.snowflakes import time_of

_HOUR = 3600.0
_BAN_WINDOW_SECONDS = 600.0


@dataclass(frozen=True)
class Limit:
    """So many requests in so many seconds."""

    requests: int
    seconds: float


_CHANNEL = "/channels/{channel_id}"
_MESSAGE = "/channels/{channel_id}/messages/{message_id}"
_REACTIONS = f"{_MESSAGE}/reactions/{{emoji}}"
_REACTION = Limit(1, 0.25)
_BY_ROUTE: Mapping[str, Limit] = {
    f"POST {_CHANNEL}/messages": Limit(5, 5.0),
    f"PATCH {_MESSAGE}": Limit(5, 5.0),
    f"DELETE {_MESSAGE}": Limit(5, 1.0),
    f"GET {_CHANNEL}/messages": Limit(5, 1.0),
    f"PUT {_REACTIONS}/@me": _REACTION,
    f"DELETE {_REACTIONS}/@me": _REACTION,
    f"DELETE {_REACTIONS}/{{user_id}}": _REACTION,
    f"POST {_CHANNEL}/typing": Limit(5, 5.0),
    f"PATCH {_CHANNEL}": Limit(5, 10.0),
    "POST /webhooks/{application_id}/{token}": Limit(5, 2.0),
    "PATCH /webhooks/{application_id}/{token}/messages/{message_id}": Limit(5, 2.0),
}


@dataclass(frozen=True)
class Limits:
    """All sizes; `GENEROUS` never stops anyone."""

    by_route: Mapping[str, Limit] = field(default_factory=lambda: dict(_BY_ROUTE))
    other: Limit = Limit(10, 10.0)
    old_edits: Limit = Limit(3, 20.0)
    a_second: int = 50
    invalid_in_ten_minutes: int = 10_000

    def with_route(self, route: str, limit: Limit) -> Limits:
        """The same with another limit for one route."""
        return replace(self, by_route={**self.by_route, route: limit})


REALISTIC = Limits()
_PLENTY = Limit(1_000_000, 1.0)
GENEROUS = Limits(
    by_route={}, other=_PLENTY, old_edits=_PLENTY, a_second=1_000_000, invalid_in_ten_minutes=10**9
)


@dataclass(frozen=True)
class Verdict:
    """Whether a request may go on, the headers of its answer, and the body of a 429."""

    headers: Mapping[str, str]
    refused: Json | None = None


@dataclass(eq=False)
class _Window:
    limit: Limit
    ends_at: float
    used: int = 0


class Limiter:
    """Counts requests in windows that begin with their first one."""

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self.limits = limits
        self._clock = clock
        self._windows: dict[tuple[str, str], _Window] = {}
        self._global = _Window(Limit(limits.a_second, 1.0), 0.0)
        self._invalid: deque[float] = deque()

    @property
    def invalid_requests(self) -> int:
        """Those of the last ten minutes that count towards a ban."""
        horizon = self._clock.monotonic() - _BAN_WINDOW_SECONDS
        while self._invalid and self._invalid[0] <= horizon:
            self._invalid.popleft()
        return len(self._invalid)

    @property
    def is_banned(self) -> bool:
        """Whether Cloudflare answers instead of Discord."""
        return self.invalid_requests >= self.limits.invalid_in_ten_minutes

    def note_invalid(self) -> None:
        """Count a 401, a 403 or a 429."""
        self._invalid.append(self._clock.monotonic())

    def admit(self, route: str, params: Mapping[str, str]) -> Verdict:
        """Take one request out of its bucket, and out of those of this second."""
        limit, name = self._limit_of(route, params)
        interactive = route.split(" ")[1].startswith(("/interactions/", "/webhooks/"))
        if not interactive and (verdict := self._take_global()) is not None:
            return verdict
        if route.startswith("POST /interactions/"):
            return Verdict({})
        return self._take(name, _major(params), limit)

    def _limit_of(self, route: str, params: Mapping[str, str]) -> tuple[Limit, str]:
        if route == f"PATCH {_MESSAGE}" and self._is_old(params["message_id"]):
            return self.limits.old_edits, f"{route} old"
        limit = self.limits.by_route.get(route, self.limits.other)
        # All kinds of changes to reactions share a bucket.
        return limit, "reactions" if limit is _REACTION else route

    def _is_old(self, message_id: str) -> bool:
        if not message_id.isdigit():
            return False
        return self._clock.wall() - time_of(int(message_id)) > _HOUR

    def _take_global(self) -> Verdict | None:
        now = self._clock.monotonic()
        if now >= self._global.ends_at:
            self._global = _Window(Limit(self.limits.a_second, 1.0), now + 1.0)
        if self._global.used < self._global.limit.requests:
            self._global.used += 1
            return None
        left = self._global.ends_at - now
        headers = {"X-RateLimit-Global": "true", "X-RateLimit-Scope": "global"}
        return _refused(left, headers, is_global=True)

    def _take(self, name: str, major: str, limit: Limit) -> Verdict:
        now = self._clock.monotonic()
        window = self._windows.get((name, major))
        if window is None or now >= window.ends_at:
            window = self._windows[name, major] = _Window(limit, now + limit.seconds)
        left = max(window.ends_at - now, 0.001)
        is_over = window.used >= limit.requests
        window.used += not is_over
        bucket = hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()
        headers = {
            "X-RateLimit-Limit": str(limit.requests),
            "X-RateLimit-Remaining": str(limit.requests - window.used),
            "X-RateLimit-Reset": f"{self._clock.wall() + left:.3f}",
            "X-RateLimit-Reset-After": f"{left:.3f}",
            "X-RateLimit-Bucket": bucket,
        }
        if not is_over:
            return Verdict(headers)
        code = 30046 if name.endswith(" old") else 0
        return _refused(left, headers | {"X-RateLimit-Scope": "user"}, code=code)


def _refused(
    seconds: float, headers: Mapping[str, str], *, is_global: bool = False, code: int = 0
) -> Verdict:
    told = {**headers, "Retry-After": str(max(1, round(seconds + 0.5)))}
    return Verdict(told, too_many(seconds, is_global=is_global, code=code))


def too_many(seconds: float, *, is_global: bool = False, code: int = 0) -> Json:
    """The body of a 429."""
    body: Json = {
        "message": "You are being rate limited.",
        "retry_after": round(seconds, 3),
        "global": is_global,
    }
    if code == 30046:
        body["message"] = (
            "Maximum number of edits to messages older than 1 hour reached. Try again later."
        )
    return body | {"code": code} if code else body


def _major(params: Mapping[str, str]) -> str:
    names = ("channel_id", "guild_id", "application_id", "token")
    return "+".join(params[name] for name in names if name in params)
