"""A gRPC server that does nothing but stream a journal's events: what the wire alone costs.

Run as `python -m benchmarks.bare_stream JOURNAL SOCKET`; the events are in memory when it serves.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc

from repobridge.session.v1 import session_pb2 as pb

_SERVICE = pb.DESCRIPTOR.services_by_name["SessionService"].full_name


def _stream_of(payloads: list[bytes]) -> Any:
    async def subscribe(
        request: pb.SubscribeRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[pb.Event]:
        for payload in payloads:
            yield pb.Event.FromString(payload)

    handler = grpc.unary_stream_rpc_method_handler(
        subscribe,
        request_deserializer=pb.SubscribeRequest.FromString,
        response_serializer=pb.Event.SerializeToString,
    )
    return grpc.method_handlers_generic_handler(_SERVICE, {"Subscribe": handler})


async def main(journal: Path, socket: Path) -> None:
    """Serves until it is ended."""
    connection = sqlite3.connect(f"{journal.as_uri()}?mode=ro", uri=True)
    rows = connection.execute("SELECT payload FROM events ORDER BY sequence").fetchall()
    connection.close()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_stream_of([row[0] for row in rows]),))
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
