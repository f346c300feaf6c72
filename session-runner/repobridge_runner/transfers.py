"""Files in and out over the wire: Upload and Download."""

from __future__ import annotations

from collections.abc import AsyncIterator

from repobridge.errors import Refusal, Status
from repobridge.session.v1 import session_pb2 as pb
from repobridge_runner import checks
from repobridge_runner.attachments import AttachmentHeader
from repobridge_runner.runner import Runner

_CHUNK_BYTES = 256 << 10
_NAME_CHARACTERS = 1000


async def upload(runner: Runner, requests: AsyncIterator[pb.UploadRequest]) -> pb.UploadResponse:
    """Receives one attachment; raises Refusal."""
    first = await anext(aiter(requests), None)
    if first is None or first.WhichOneof("part") != "header":
        raise Refusal(
            Status.INVALID_ARGUMENT, "NO_HEADER", "The first message must be the header.", {}
        )
    header = first.header
    if not 0 < len(header.name) <= _NAME_CHARACTERS:
        raise Refusal(
            Status.INVALID_ARGUMENT,
            "BAD_FILE_NAME",
            f"name: the file's name must have 1 to {_NAME_CHARACTERS} characters.",
            {},
        )
    received = await runner.attachments.receive(
        AttachmentHeader(
            conversation_id=checks.conversation(header.conversation_id),
            message_id=checks.identifier(header.message_id, "message_id"),
            attachment_id=checks.identifier(header.attachment_id, "attachment_id"),
            name=header.name,
            media_type=header.media_type,
            sha256=header.sha256,
            size=header.size,
        ),
        _chunks(requests),
    )
    return pb.UploadResponse(path=str(received.path), duplicate=received.duplicate)


async def _chunks(requests: AsyncIterator[pb.UploadRequest]) -> AsyncIterator[bytes]:
    async for request in requests:
        yield request.chunk


async def download(
    runner: Runner, request: pb.DownloadRequest
) -> AsyncIterator[pb.DownloadResponse]:
    """Sends a blob in pieces; raises Refusal."""
    info, file = runner.blobs.open(request.blob_id)
    with file:
        file.seek(request.offset)
        part = pb.DownloadResponse(name=info.name, media_type=info.media_type, size=info.size)
        while True:
            part.chunk = file.read(_CHUNK_BYTES)
            if not part.chunk and not part.name:
                return
            yield part
            part = pb.DownloadResponse()
