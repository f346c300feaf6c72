"""A plain HTTP client of the imitation, as strict about its events as a reader can be."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import aiohttp

from tests.fakes.anthropic.server import FakeAnthropic


class Client:
    """Sends what a well-behaved client would send, with single things changed."""

    def __init__(self, api: FakeAnthropic, http: aiohttp.ClientSession) -> None:
        self._api = api
        self._http = http
        self.headers = {
            "x-api-key": api.key,
            "anthropic-version": "2023-06-01",
            "content-type": "application/json",
        }

    def post(
        self,
        body: object,
        *,
        path: str = "/v1/messages",
        headers: Mapping[str, str | None] | None = None,
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """A POST of JSON (or of bytes as they are); a header set to None is left out."""
        changed = self.headers | dict(headers or {})
        return self._http.post(
            self._api.base_url + path,
            data=body if isinstance(body, bytes) else json.dumps(body).encode(),
            headers={name: value for name, value in changed.items() if value is not None},
            skip_auto_headers=("Content-Type",),
        )

    async def events(self, body: object) -> list[dict[str, Any]]:
        """The events of a streamed answer."""
        async with self.post(body) as response:
            raw = await response.read()
            if response.status != 200:
                raise AssertionError(raw.decode())
            return list(parse_events(raw))

    async def message(self, body: object) -> dict[str, Any]:
        """An answer as one document; of a refusal, its document."""
        async with self.post(body) as response:
            document: dict[str, Any] = await response.json()
            return document


def ask(prompt: str, **fields: object) -> dict[str, object]:
    """The smallest body that the API accepts, plus fields."""
    return {
        "model": "claude-imitated-1",
        "max_tokens": 1000,
        "messages": [{"role": "user", "content": prompt}],
        **fields,
    }


def parse_events(raw: bytes) -> Iterator[dict[str, Any]]:
    """Each event of a stream, whose name must be the type in its data."""
    *events, rest = raw.decode().split("\n\n")
    if rest:
        raise AssertionError(f"the stream ends inside an event: {rest!r}")
    for event in events:
        name, data = event.split("\n")
        payload: dict[str, Any] = json.loads(data.removeprefix("data: "))
        if name != f"event: {payload['type']}":
            raise AssertionError(f"{name} carries {payload['type']}")
        yield payload


def text_of(events: list[dict[str, Any]]) -> str:
    """The text of all text deltas."""
    return "".join(event.get("delta", {}).get("text", "") for event in events)
