"""The only Kubernetes I/O: plain manifests in and out, a deadline for every call, few errors.

Nothing here decides. A call either returns what the API server answered, or raises one of a small
closed set of errors; each call is made once, because the queue knows better when to try again.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.exceptions import ApiException

from repobridge.errors import RepoBridgeError
from repobridge_operator.resources.naming import FIELD_MANAGER

Object = Mapping[str, Any]
"""An object of the API as its JSON says it."""

_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"
_STRATEGIC = "application/strategic-merge-patch+json"
_JSON = "application/json"
_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
_PAGE = 100


class Resource(Enum):
    """A kind of object that the operator handles: group, version, plural and kind."""

    BRIDGE = ("repobridge.dev", "v1alpha1", "repobridges", "RepoBridge")
    POD = ("", "v1", "pods", "Pod")
    CLAIM = ("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
    SECRET = ("", "v1", "secrets", "Secret")
    POLICY = ("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy")
    EVENT = ("events.k8s.io", "v1", "events", "Event")

    @property
    def kind(self) -> str:
        """The kind, as manifests name it."""
        return self.value[3]

    @property
    def plural(self) -> str:
        """The kind, as paths and roles name it."""
        return self.value[2]

    @property
    def api_version(self) -> str:
        """Group and version, as manifests name them."""
        group, version, _, _ = self.value
        return f"{group}/{version}" if group else version

    def path(self, namespace: str | None, name: str = "", subresource: str = "") -> str:
        """The path below the server's root; without a namespace, all of them."""
        root = "/apis" if self.value[0] else "/api"
        where = f"namespaces/{namespace}/" if namespace else ""
        parts = (f"{root}/{self.api_version}/{where}{self.plural}", name, subresource)
        return "/".join(part for part in parts if part)


class ClusterError(RepoBridgeError):
    """A call to the API server failed; the leaves say what that means."""


class NotFound(ClusterError):
    """The object, its namespace or its kind does not exist."""


class Gone(ClusterError):
    """What was asked for is too old to be continued."""


class Unavailable(ClusterError):
    """No answer in time, no connection, or a failure of the server's own."""


@dataclass(eq=False)
class Conflict(ClusterError):
    """The object is not as the call supposed: changed, replaced, or there already."""

    message: str
    exists: bool = False
    """It was to be made, and is there."""

    def __str__(self) -> str:
        return self.message


@dataclass(eq=False)
class Refused(ClusterError):
    """The server will not do this: admission, quota, validation or missing rights; `message` says
    why, in the server's words.
    """

    message: str
    reason: str = ""
    """The server's constant: "Forbidden", "Invalid", …"""
    causes: tuple[str, ...] = ()
    """Constants of the single causes, such as "NamespaceTerminating"."""

    def __str__(self) -> str:
        return self.message


@dataclass(eq=False)
class Throttled(ClusterError):
    """The server asks to come back later."""

    retry_after_seconds: float

    def __str__(self) -> str:
        return f"The API server asks to wait {self.retry_after_seconds:g} s."


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One finished call, for whoever counts them."""

    verb: str
    """"get", "list", "create", "apply", "update", "patch" or "delete"."""
    resource: Resource
    subresource: str = ""
    outcome: str
    """"Ok", or the name of the error."""

    @property
    def is_write(self) -> bool:
        """Whether the call could change something."""
        return self.verb not in ("get", "list")


class Cluster:
    """The calls that the operator makes."""

    def __init__(
        self,
        client: ApiClient,
        *,
        read_seconds: float = 10.0,
        write_seconds: float = 10.0,
        fence: Callable[[], None] = lambda: None,
        told: Callable[[Call], None] = lambda call: None,
    ) -> None:
        """`fence` is called before each write, and raises where this process must not write; a
        write takes no longer than `write_seconds`, so that none outlives its fence.
        """
        self._client = client
        self._read_seconds = read_seconds
        self._write_seconds = write_seconds
        self._fence = fence
        self._told = told

    async def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """The object."""
        return await self._call("GET", "get", resource, namespace, name)

    async def metadata(self, resource: Resource, namespace: str, name: str) -> Object:
        """The object without what is in it: the data of a Secret stays with the server."""
        return await self._call("GET", "get", resource, namespace, name, accept=_METADATA)

    async def pages(
        self, resource: Resource, namespace: str | None, *, selector: str = "", fields: str = ""
    ) -> AsyncIterator[list[dict[str, Any]]]:
        """Every object that labels and fields select, some hundred at a time; without a namespace,
        in all of them. Raises Gone when the list took too long and has to begin anew.
        """
        query = {"limit": str(_PAGE)}
        query |= {"labelSelector": selector} if selector else {}
        query |= {"fieldSelector": fields} if fields else {}
        while True:
            page = await self._call("GET", "list", resource, namespace, query=query)
            yield page.get("items") or []
            following = page.get("metadata", {}).get("continue")
            if not following:
                return
            query["continue"] = following

    async def create(self, resource: Resource, manifest: Object) -> Object:
        """Makes an object that must not exist yet; raises Conflict with `exists` if it does."""
        namespace = manifest["metadata"]["namespace"]
        query = {"fieldManager": FIELD_MANAGER}
        return await self._call("POST", "create", resource, namespace, body=manifest, query=query)

    async def apply(self, resource: Resource, manifest: Object, *, subresource: str = "") -> Object:
        """Makes the fields of the manifest so, whoever had them, and takes back what we no longer
        name; makes the object if there is none. With metadata.uid, no other one is touched.
        """
        metadata = manifest["metadata"]
        full = {"apiVersion": resource.api_version, "kind": resource.kind, **manifest}
        return await self._call(
            "PATCH",
            "apply",
            resource,
            metadata["namespace"],
            metadata["name"],
            subresource=subresource,
            body=full,
            query={"fieldManager": FIELD_MANAGER, "force": "true"},
            content_type=_APPLY,
        )

    async def replace(self, resource: Resource, manifest: Object) -> Object:
        """Puts an object in the place of the one whose metadata.resourceVersion it has."""
        metadata = manifest["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        query = {"fieldManager": FIELD_MANAGER}
        return await self._call(
            "PUT", "update", resource, namespace, name, body=manifest, query=query
        )

    async def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: Object,
        *,
        subresource: str = "",
    ) -> Object:
        """Merges into an object; with metadata.resourceVersion only if it is still that one.

        Lists of Kubernetes' own kinds are merged by their keys, those of a bridge are replaced.
        """
        return await self._call(
            "PATCH",
            "patch",
            resource,
            namespace,
            name,
            subresource=subresource,
            body=body,
            query={"fieldManager": FIELD_MANAGER},
            content_type=_MERGE if resource is Resource.BRIDGE else _STRATEGIC,
        )

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str,
        resource_version: str = "",
        grace_seconds: int | None = None,
    ) -> Object:
        """Deletes this very object; raises Conflict when another has its name by now, or when
        it is no longer at `resource_version`.
        """
        preconditions = {"uid": uid}
        if resource_version:
            preconditions["resourceVersion"] = resource_version
        body: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions"}
        body |= {"preconditions": preconditions, "propagationPolicy": "Background"}
        if grace_seconds is not None:
            body["gracePeriodSeconds"] = grace_seconds
        return await self._call("DELETE", "delete", resource, namespace, name, body=body)

    async def _call(
        self,
        method: str,
        verb: str,
        resource: Resource,
        namespace: str | None,
        name: str = "",
        *,
        subresource: str = "",
        body: Object | None = None,
        query: Mapping[str, str] | None = None,
        accept: str = _JSON,
        content_type: str = _JSON,
    ) -> dict[str, Any]:
        path = resource.path(namespace, name, subresource)
        headers = {"Accept": accept} | ({"Content-Type": content_type} if body is not None else {})
        outcome, seconds = "Ok", self._read_seconds
        if method != "GET":
            self._fence()
            seconds = self._write_seconds
        try:
            async with asyncio.timeout(seconds):
                return await self._exchange(method, path, headers=headers, query=query, body=body)
        except ClusterError as error:
            outcome = type(error).__name__
            raise
        except TimeoutError as error:
            outcome = "Unavailable"
            sentence = f"The API server did not answer within {seconds:g} s."
            raise Unavailable(sentence) from error
        except (aiohttp.ClientError, ApiException, OSError, ValueError) as error:
            outcome = "Unavailable"
            sentence = f"The API server can't be reached: {error or type(error).__name__}"
            raise Unavailable(sentence) from error
        finally:
            self._told(Call(verb=verb, resource=resource, subresource=subresource, outcome=outcome))

    async def _exchange(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        query: Mapping[str, str] | None,
        body: Object | None,
    ) -> dict[str, Any]:
        target = f"{path}?{urlencode(query)}" if query else path
        serialized = await self._client.param_serialize(
            method, target, header_params=dict(headers), body=body, auth_settings=["BearerToken"]
        )
        # Only partly typed upstream.
        response: Any = await self._client.call_api(*serialized)
        data = await response.read()
        if response.status >= 400:
            raise _error(response.status, data, response.getheader("Retry-After"))
        found = json.loads(data)
        if not isinstance(found, dict):
            raise ValueError("the answer is no object")
        return found


_MISSING: Mapping[int, type[ClusterError]] = {404: NotFound, 410: Gone}
_PASSING = frozenset({401, 408})
"""A token that is being renewed; a slow server."""


def _error(status: int, data: bytes, retry_after: str | None) -> ClusterError:
    answer = _status_object(data)
    message = str(answer.get("message") or f"The API server answered {status}.")
    reason = str(answer.get("reason") or "")
    details = answer.get("details")
    details = details if isinstance(details, dict) else {}
    if status == 429:
        return Throttled(_seconds(retry_after or details.get("retryAfterSeconds")))
    if status == 409:
        return Conflict(message, exists=reason == "AlreadyExists")
    if status >= 500 or status in _PASSING:
        return Unavailable(message)
    if status in _MISSING:
        return _MISSING[status](message)
    causes = details.get("causes") or ()
    found = tuple(str(each.get("reason", "")) for each in causes if isinstance(each, dict))
    return Refused(message, reason=reason, causes=found)


def _status_object(data: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(data)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _seconds(text: object) -> float:
    """What a server says to wait, within reason; a second when it says nothing."""
    try:
        return min(max(float(str(text)), 1.0), 120.0)
    except ValueError:
        return 1.0
