"""What a runner keeps apart from its log because it is long, read as text."""

from __future__ import annotations

from repobridge.errors import Refusal
from repobridge_gateway.session_client import SessionClient

LARGEST_BYTES = 4 << 20


async def blob_text(client: SessionClient, blob_id: str) -> str:
    """A blob's text; empty where it is gone, or none is named."""
    if not blob_id:
        return ""
    try:
        data = await client.download(blob_id, largest_bytes=LARGEST_BYTES)
    except Refusal as refusal:
        if refusal.reason != "UNKNOWN_BLOB":
            raise
        return ""
    return data.decode("utf-8", errors="replace")
