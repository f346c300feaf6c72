"""The Kubernetes API as plain JSON, for tests and for what stands in for parts of a cluster.

The product's own client is not used here, so that a mistake in it can't hide itself.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

_TIMEOUT = aiohttp.ClientTimeout(total=120)
_WATCH_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=60)
# A line of a watch holds a whole object; etcd takes up to 1.5 MiB.
_LINE_BYTES = 1 << 22

Object = dict[str, Any]


class RestError(Exception):
    """The API's refusal: its code, its constant reason, and its sentence."""

    def __init__(self, status: Mapping[str, Any]) -> None:
        super().__init__(f"{status.get('code')} {status.get('reason')}: {status.get('message')}")
        self.code = int(status.get("code", 0))
        self.reason = str(status.get("reason", ""))
        self.message = str(status.get("message", ""))


class Rest:
    """A client with one bearer token; paths are the API's, as in `/api/v1/namespaces`."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def get(self, path: str, **query: str) -> Object:
        """Reads an object or a list."""
        return await self._ask("GET", path, query=query)

    async def create(self, path: str, body: Object) -> Object:
        """Creates an object in the collection, or calls a subresource."""
        return await self._ask("POST", path, body=body)

    async def replace(self, path: str, body: Object) -> Object:
        """Puts an object in the place of what is there."""
        return await self._ask("PUT", path, body=body)

    async def merge(self, path: str, patch: Object) -> Object:
        """Changes an object by a JSON merge patch: null removes, lists are replaced whole."""
        return await self._ask("PATCH", path, body=patch, kind="application/merge-patch+json")

    async def apply(self, path: str, body: Object, *, manager: str) -> Object:
        """Applies an object on the server's side, taking fields over from others."""
        query = {"fieldManager": manager, "force": "true"}
        kind = "application/apply-patch+yaml"
        return await self._ask("PATCH", path, query=query, body=body, kind=kind)

    async def delete(
        self, path: str, *, grace_seconds: int | None = None, uid: str | None = None
    ) -> Object:
        """Deletes an object, or a collection; with a UID only that very object."""
        body: Object = {"kind": "DeleteOptions", "apiVersion": "v1"}
        if grace_seconds is not None:
            body["gracePeriodSeconds"] = grace_seconds
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        return await self._ask("DELETE", path, body=body)

    async def watch(self, path: str, *, since: str, **query: str) -> AsyncGenerator[Object, None]:
        """The changes after a resourceVersion, until the server ends the watch."""
        asked = {"watch": "true", "resourceVersion": since, **query}
        async with self._session.get(path, params=asked, timeout=_WATCH_TIMEOUT) as response:
            if response.status >= 400:
                raise RestError(_read_status(response.status, await response.read()))
            async for line in response.content:
                event: Object = json.loads(line)
                if event["type"] == "ERROR":
                    raise RestError(event["object"])
                yield event

    async def wait_for(
        self,
        collection: str,
        name: str,
        condition: Callable[[Object | None], bool],
        *,
        seconds: float = 90.0,
    ) -> Object | None:
        """The object once the condition holds for it; None stands for its absence.

        Follows a watch, so that it sees every state; raises TimeoutError with the last one.
        """
        last: Object | None = None
        query = {"fieldSelector": f"metadata.name={name}"}
        try:
            async with asyncio.timeout(seconds):
                while True:
                    known = await self.get(collection, **query)
                    last = known["items"][0] if known["items"] else None
                    since = known["metadata"]["resourceVersion"]
                    async with aclosing(self.watch(collection, since=since, **query)) as events:
                        while not condition(last):
                            event = await anext(events, None)
                            if event is None:
                                break  # the server ended the watch: look again
                            last = None if event["type"] == "DELETED" else event["object"]
                        else:
                            return last
        except TimeoutError as error:
            state = json.dumps(last, indent=1)
            raise TimeoutError(f"{name} did not become what was awaited; it is {state}") from error

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        kind: str = "application/json",
    ) -> Object:
        async with self._session.request(
            method,
            path,
            params=query,
            data=None if body is None else json.dumps(body),
            headers={"Content-Type": kind},
        ) as response:
            content = await response.read()
            if response.status >= 400:
                raise RestError(_read_status(response.status, content))
            answer: Object = json.loads(content)
            return answer


@asynccontextmanager
async def connect(*, url: str, ca_file: Path, token: str) -> AsyncIterator[Rest]:
    """A client of the API at a URL."""
    async with aiohttp.ClientSession(
        url,
        headers={"Authorization": f"Bearer {token}"},
        connector=aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(ca_file))),
        timeout=_TIMEOUT,
        read_bufsize=_LINE_BYTES,
    ) as session:
        yield Rest(session)


def _read_status(code: int, content: bytes) -> Mapping[str, Any]:
    try:
        status: Object = json.loads(content)
    except ValueError:
        return {"code": code, "message": content.decode(errors="replace")}
    return status
