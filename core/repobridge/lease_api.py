"""The API server's side of a Lease: read, created, replaced by its version.

The client is kubernetes' own, given by the caller: nothing of it is imported here.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

from repobridge.errors import RepoBridgeError
from repobridge.lease_record import Record, manifest, parsed

if TYPE_CHECKING:
    from kubernetes.aio.client.api_client import ApiClient

_CONFLICT = 409


class LeaseError(RepoBridgeError):
    """A call about a Lease failed, whatever the cause; the message says how."""


class LeaseChanged(LeaseError):
    """Somebody else changed, made or removed the Lease since it was read."""


class LeaseStore(Protocol):
    """Where a Lease is kept."""

    async def get(self) -> Record | None:
        """The record, or None when there is none; raises LeaseError."""

    async def put(self, record: Record) -> Record:
        """Replaces the version that the record has, or creates it when it has none.

        Raises LeaseChanged when another came first, and LeaseError when it may have worked or not.
        """


class ApiLease:
    """One Lease in one namespace."""

    def __init__(self, api: ApiClient, *, namespace: str, name: str) -> None:
        self._api = api
        self._namespace = namespace
        self._name = name
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"

    async def get(self) -> Record | None:
        """The record, or None."""
        status, found = await self._call("GET", f"{self._collection}/{self._name}")
        if status == 404:
            return None
        return parsed(_checked(status, found))

    async def put(self, record: Record) -> Record:
        """Replaces or creates it."""
        body = manifest(record, namespace=self._namespace, name=self._name)
        if record.version:
            status, found = await self._call("PUT", f"{self._collection}/{self._name}", body)
        else:
            status, found = await self._call("POST", self._collection, body)
        if status == _CONFLICT or (record.version and status == 404):
            raise LeaseChanged(_message(status, found))
        return parsed(_checked(status, found))

    async def _call(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            request = await self._api.param_serialize(
                method, path, header_params=headers, body=body, auth_settings=["BearerToken"]
            )
            response: Any = await self._api.call_api(*request)
            found = json.loads(await response.read())
        # Whatever a client, its transport or its plug-ins for credentials may raise.
        except Exception as error:
            raise LeaseError(str(error) or type(error).__name__) from error
        if not isinstance(found, dict):
            raise LeaseError(f"The API server answered {response.status} with no object.")
        return int(response.status), found


def _checked(status: int, found: dict[str, Any]) -> dict[str, Any]:
    if status >= 400:
        raise LeaseError(_message(status, found))
    if not isinstance(found.get("metadata"), dict) or "resourceVersion" not in found["metadata"]:
        raise LeaseError("The API server answered with something else than a Lease.")
    return found


def _message(status: int, found: dict[str, Any]) -> str:
    return f"The API server answered {status}: {found.get('message', '')}"
