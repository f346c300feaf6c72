"""The few requests that the supervisor itself has for the API server, without a client library."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.cluster.addresses import API_PORT, NODE_ADDRESS

_SECONDS = 30.0


class NotYet(Exception):
    """The API server does not answer, or not with what was asked for."""


class ApiClient:
    """One identity at the API server; each call is a connection of its own, and blocks."""

    def __init__(self, *, authority: Path, certificate: Path, key: Path) -> None:
        self._tls = ssl.create_default_context(cafile=str(authority))
        self._tls.load_cert_chain(certificate, key)

    def is_ready(self) -> bool:
        """Whether the API server says that it serves."""
        try:
            status, _ = self._request("GET", "/readyz")
        except OSError:
            return False
        return status == http.HTTPStatus.OK

    def get(self, path: str) -> dict[str, Any]:
        """The object at a path; raises `NotYet` when there is none."""
        try:
            status, body = self._request("GET", path)
        except OSError as error:
            raise NotYet(str(error)) from error
        if status != http.HTTPStatus.OK:
            raise NotYet(f"{path}: {status}")
        value: dict[str, Any] = json.loads(body)
        return value

    def create(self, path: str, value: Mapping[str, object]) -> None:
        """Creates an object."""
        status, body = self._request("POST", path, json.dumps(value))
        if status != http.HTTPStatus.CREATED:
            raise NotYet(f"{path}: {status} {body.decode(errors='replace')}")

    def _request(self, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPSConnection(
            NODE_ADDRESS, API_PORT, context=self._tls, timeout=_SECONDS
        )
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()
