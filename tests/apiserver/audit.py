"""What was written through the API, and by whom, as the API server's own audit log has it."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_DEADLINE_SECONDS = 90.0
_POLL_SECONDS = 0.01
_WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
# Questions about rights and tokens are "created", but nothing is stored.
_QUESTIONS = frozenset({"authentication.k8s.io", "authorization.k8s.io"})


@dataclass(frozen=True)
class Request:
    """One request that the API server has answered."""

    user: str
    verb: str
    resource: str
    """Plural, with the subresource if there is one: `pods/status`; the path when it is none."""
    namespace: str
    name: str
    code: int
    user_agent: str
    uri: str

    @property
    def is_write(self) -> bool:
        """True when it asked for a change, whether or not anything differed."""
        return self.verb in _WRITES


class AuditLog:
    """Reads the log of one API server; `get` asks that server for a path as its admin."""

    def __init__(self, path: Path, get: Callable[[str], bytes]) -> None:
        self._path = path
        self._get = get
        self._offset = 0
        self._requests: list[Request] = []

    async def requests(self, *, user: str | None = None, since: int = 0) -> list[Request]:
        """All requests answered before this call, from the `since`-th on, one user's or all."""
        # A long answer may reach its client shortly before its line is written. The line of a
        # request made after that comes later, but for an accident of scheduling; hence two.
        for _ in range(2):
            await self._await_marker()
        seen = self._requests[since:]
        return [request for request in seen if user is None or request.user == user]

    async def writes_by(self, user: str, *, since: int = 0) -> list[Request]:
        """The changes that a user has asked for (`system:serviceaccount:NAMESPACE:NAME`)."""
        return [
            request for request in await self.requests(user=user, since=since) if request.is_write
        ]

    async def position(self) -> int:
        """How many requests there were up to now: a `since` for what comes after."""
        return len(await self.requests())

    async def _await_marker(self) -> None:
        marker = f"/version?marker={secrets.token_hex(8)}"
        await asyncio.to_thread(self._get, marker)
        async with asyncio.timeout(_DEADLINE_SECONDS):
            while not self._read_until(marker):
                await asyncio.sleep(_POLL_SECONDS)

    def _read_until(self, marker: str) -> bool:
        """Takes in what was written since the last time; True if the marker is in it."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            # The last line may not be whole yet.
            whole, _, _ = file.read().rpartition(b"\n")
        if not whole:
            return False
        self._offset += len(whole) + 1
        found = False
        for line in whole.split(b"\n"):
            request = _parse(json.loads(line))
            if request is None:
                continue
            found = found or request.uri == marker
            if not request.uri.startswith("/version?marker="):
                self._requests.append(request)
        return found


def _parse(event: dict[str, Any]) -> Request | None:
    # A watch has a line when it starts and one when it ends: the first is the request.
    wanted = "ResponseStarted" if event["verb"] == "watch" else "ResponseComplete"
    target = event.get("objectRef", {})
    if event["stage"] not in {wanted, "Panic"} or target.get("apiGroup") in _QUESTIONS:
        return None
    resource = "/".join(filter(None, (target.get("resource"), target.get("subresource"))))
    return Request(
        user=event["user"]["username"],
        verb=event["verb"],
        resource=resource or event["requestURI"].partition("?")[0],
        namespace=target.get("namespace", ""),
        name=target.get("name", ""),
        code=event.get("responseStatus", {}).get("code", 0),
        user_agent=event.get("userAgent", ""),
        uri=event["requestURI"],
    )
