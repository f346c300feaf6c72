"""The gateway's whole Kubernetes I/O: it follows RepoBridges, and wishes them awake.

A follower lists once and watches from there. A watch ends by itself, is refused as too old, or
falls silent without a word: each is noticed, and none loses a change.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.exceptions import ApiException

from repobridge.crd import API_VERSION, PLURAL
from repobridge.errors import Refusal, RepoBridgeError, Status
from repobridge.telemetry import Logger

_PAGE = 100
_AGAIN_SECONDS = 0.2
_AGAIN_AT_MOST_SECONDS = 10.0
_ASK_PAUSES_SECONDS = (0.1, 0.4, 1.0, 2.0)
_TOO_OLD = 410
_PASSING = frozenset({401, 408, 409, 429})
"""A token that is being renewed, a slow server, a wish at the same time, a full queue."""
_log = Logger(__name__)

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Everything:
    """All bridges of a namespace as they are: others that were known are gone."""

    objects: tuple[Object, ...]


@dataclass(frozen=True, slots=True)
class Changed:
    """One bridge as it is now."""

    object: Object


@dataclass(frozen=True, slots=True)
class Removed:
    """A bridge that is there no more."""

    uid: str


@dataclass(frozen=True, slots=True)
class Lost:
    """What is known may be old from now on, until a change or everything comes."""

    why: str


Change = Everything | Changed | Removed | Lost


@dataclass(eq=False)
class _Failed(RepoBridgeError):
    code: int
    message: str

    def __str__(self) -> str:
        return self.message

    @property
    def passes(self) -> bool:
        """Whether another try may well succeed."""
        return self.code == 0 or self.code >= 500 or self.code in _PASSING


class _Silent(_Failed):
    """Nobody knows what a watch did not tell: everything is asked for."""


class BridgeApi:
    """The calls that the gateway makes, each with a deadline."""

    def __init__(
        self,
        client: ApiClient,
        *,
        call_seconds: float = 10.0,
        watch_seconds: int = 300,
        silence_seconds: float = 90.0,
    ) -> None:
        """`silence_seconds`: after how long without an event or bookmark (one a minute) a watch is
        taken for dead.
        """
        self._client = client
        self._call_seconds = call_seconds
        self._watch_seconds = watch_seconds
        self._silence_seconds = silence_seconds

    async def wish(self, namespace: str, name: str, replicas: int) -> None:
        """Says through `/scale` how many pods a bridge is to have; raises a Refusal."""
        path = f"{_path(namespace)}/{name}/scale"
        for pause in (*_ASK_PAUSES_SECONDS, None):
            try:
                await self._call("PATCH", path, body={"spec": {"replicas": replicas}})
                return
            except _Failed as failure:
                if not failure.passes or pause is None:
                    raise _refusal(failure, f"{namespace}/{name}") from failure
                await asyncio.sleep(pause)

    async def follow(self, namespace: str | None) -> AsyncGenerator[Change, None]:
        """Everything, then each change, for ever; without a namespace, of all of them."""
        version, pause = "", _AGAIN_SECONDS
        while True:
            try:
                if not version:
                    objects, version = await self._list(namespace)
                    yield Everything(objects)
                    pause = _AGAIN_SECONDS
                async with aclosing(self._watch(namespace, version)) as events:
                    async for change, at in events:
                        version, pause = at, _AGAIN_SECONDS
                        if change is not None:
                            yield change
                # It ended by itself. One that always does so at once is not asked in a loop.
                await asyncio.sleep(_AGAIN_SECONDS)
            except _Failed as failure:
                if failure.code == _TOO_OLD:
                    version = ""
                    continue
                version = "" if isinstance(failure, _Silent) else version
                _log.warning(
                    "repobridges not followed", namespace=namespace or "", error=str(failure)
                )
                yield Lost(str(failure))
                await asyncio.sleep(pause)
                pause = min(2 * pause, _AGAIN_AT_MOST_SECONDS)

    async def _list(self, namespace: str | None) -> tuple[tuple[Object, ...], str]:
        found: list[Object] = []
        query = {"limit": str(_PAGE)}
        while True:
            page = await self._call("GET", _path(namespace), query=query)
            found += page.get("items") or []
            metadata = page.get("metadata") or {}
            if not metadata.get("continue"):
                return tuple(found), str(metadata.get("resourceVersion") or "")
            query["continue"] = metadata["continue"]

    async def _watch(
        self, namespace: str | None, version: str
    ) -> AsyncGenerator[tuple[Change | None, str], None]:
        """Each change with the version from which the next watch goes on; a bookmark is none."""
        query = {
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(self._watch_seconds),
        }
        response = await self._open(_path(namespace), query)
        try:
            while line := await self._line(response):
                event = _parsed(line)
                kind, obj = event.get("type"), event.get("object") or {}
                if kind == "ERROR":
                    raise _Failed(int(obj.get("code") or 500), str(obj.get("message") or "?"))
                metadata = obj["metadata"]
                change = {
                    "BOOKMARK": None,
                    "DELETED": Removed(metadata.get("uid", "")),
                }.get(str(kind), Changed(obj))
                yield change, str(metadata["resourceVersion"])
        finally:
            response.response.close()

    async def _line(self, response: Any) -> bytes:
        try:
            async with asyncio.timeout(self._silence_seconds):
                line: bytes = await response.response.content.readline()
                return line
        except TimeoutError as error:
            raise _Silent(0, "The API server's watch fell silent.") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _Failed(0, f"The API server's watch broke: {error}") from error

    async def _open(self, path: str, query: Mapping[str, str]) -> Any:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._call_seconds)
        try:
            async with asyncio.timeout(self._call_seconds):
                response = await self._send("GET", path, query=query, timeout=timeout)
                if response.status >= 400:
                    raise _failure(response.status, await response.read())
                return response
        except TimeoutError as error:
            raise _Silent(0, "The API server begins no watch.") from error

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
    ) -> dict[str, Any]:
        try:
            async with asyncio.timeout(self._call_seconds):
                response = await self._send(method, path, query=query, body=body)
                data = await response.read()
        except TimeoutError as error:
            raise _Failed(0, "The API server does not answer.") from error
        except (aiohttp.ClientError, OSError) as error:
            raise _Failed(0, f"The API server can't be reached: {error}") from error
        if response.status >= 400:
            raise _failure(response.status, data)
        return _parsed(data)

    async def _send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        timeout: aiohttp.ClientTimeout | None = None,
    ) -> Any:
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/merge-patch+json"
        target = f"{path}?{urlencode(query)}" if query else path
        try:
            request = await self._client.param_serialize(
                method, target, header_params=headers, body=body, auth_settings=["BearerToken"]
            )
            # Only partly typed upstream.
            return await self._client.call_api(*request, _request_timeout=timeout)
        except (aiohttp.ClientError, ApiException, OSError, ValueError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise _Failed(0, f"The API server can't be reached: {error}") from error


def _path(namespace: str | None) -> str:
    where = f"namespaces/{namespace}/" if namespace else ""
    return f"/apis/{API_VERSION}/{where}{PLURAL}"


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError as error:
        raise _Failed(0, "The API server's answer is no JSON.") from error
    if not isinstance(found, dict):
        raise _Failed(0, "The API server's answer is no object.")
    return found


def _failure(code: int, data: bytes) -> _Failed:
    try:
        message = str(_parsed(data).get("message") or "")
    except _Failed:
        message = ""
    return _Failed(code, message or f"The API server answered {code}.")


def _refusal(failure: _Failed, bridge: str) -> Refusal:
    if failure.code == 404:
        return Refusal(Status.UNAVAILABLE, "BRIDGE_GONE", f"RepoBridge {bridge} is gone.")
    return Refusal(
        Status.UNAVAILABLE,
        "WISH_REFUSED",
        f"The cluster does not take a wish for {bridge}: {failure.message}",
    )


__all__ = ["BridgeApi", "Change", "Changed", "Everything", "Lost", "Object", "Removed"]
