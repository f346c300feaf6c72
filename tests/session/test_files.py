"""Files in and out: attachments that the agent can read, and what it puts into its outbox."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

import grpc
import pytest

from repobridge.errors import Refusal
from repobridge.session.events import FileProduced, TurnOutcome
from repobridge.session.refusals import from_rpc_error
from repobridge.session.v1 import session_pb2 as pb
from tests.fakes.anthropic import FakeAnthropic, MessagesRequest, Text, ToolUse, bash
from tests.live_runner import LiveRunner

CONTENT = b"the secret of the plum\n" * 20_000  # several chunks
CHUNK_BYTES = 256 << 10


async def test_an_uploaded_file_is_named_in_the_prompt_and_the_agent_can_read_it(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    first = await _upload(runner, CONTENT[:2300], name="notes on plums.txt")
    assert not first.duplicate
    again = await _upload(runner, CONTENT[:2300], name="notes on plums.txt")
    assert (again.duplicate, again.path) == (True, first.path)
    small = await _upload(runner, b"small\n", attachment_id="a2", name="../../notes on plums.txt")
    assert not small.duplicate

    def read_it(request: MessagesRequest) -> ToolUse:
        lines = request.last_user_text.splitlines()
        paths = [line.split(": ", 1)[1].rstrip("]") for line in lines if line.startswith("[file")]
        return ToolUse("Read", {"file_path": paths[0]})

    anthropic_api.when("look at these", read_it, Text("I see"))
    ended = await runner.turn("look at these", message_id="m1", attachment_ids=["a1", "a2"])
    assert (ended.outcome, ended.final_markdown) == (TurnOutcome.COMPLETED, "I see")
    prompt = anthropic_api.requests[-1].last_user_text.splitlines()
    assert prompt[0] == "[Ann via terminal; then 2 files]"
    assert prompt[1].endswith("notes on plums.txt]")
    assert prompt[3] == "look at these"
    [result] = anthropic_api.requests[-1].tool_results
    assert (result.is_error, "the secret of the plum" in result.text) == (False, True)
    await runner.turn("", message_id="m2b", attachment_ids=[await _other(runner)])
    assert "then 1 file" in anthropic_api.requests[-1].last_user_text
    status = await runner.stub.ListSessions(pb.ListSessionsRequest())
    assert "notes on plums" not in str(status)
    assert not list(runner.settings.directory.rglob("*plums*"))


async def _other(runner: LiveRunner) -> str:
    await _upload(runner, b"other\n", message_id="m2b", attachment_id="only", name="only.txt")
    return "only"


async def test_what_does_not_fit_its_header_is_refused(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    wrong = await _refused(runner, CONTENT, sha256="0" * 64)
    assert (wrong.status.value, wrong.reason) == ("INVALID_ARGUMENT", "HASH_MISMATCH")
    short = await _refused(runner, CONTENT, size=len(CONTENT) + 1)
    assert short.reason == "HASH_MISMATCH"
    large = await _refused(runner, b"x", size=26 << 20)
    assert (large.status.value, large.reason) == ("RESOURCE_EXHAUSTED", "FILE_TOO_LARGE")
    for name in ("", "x" * 1001):
        bad = await _refused(runner, b"x", name=name)
        assert (bad.status.value, bad.reason) == ("INVALID_ARGUMENT", "BAD_FILE_NAME")
    assert (await _refused(runner, b"x", conversation_id="../x")).reason == "BAD_CONVERSATION_ID"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await runner.submit("look", attachment_ids=["never"])
    assert from_rpc_error(refused.value).reason == "UNKNOWN_ATTACHMENT"
    received = await _upload(runner, CONTENT)
    assert not received.duplicate


async def test_a_file_in_the_outbox_reaches_people_once(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    outbox = runner.settings.state_dir / "outbox" / "main"
    written = ToolUse("Write", {"file_path": str(outbox / "told.md"), "content": "# Told\n"})
    anthropic_api.script(written, Text("also there"))
    assert (await runner.turn("write one")).outcome is TurnOutcome.COMPLETED
    told = await runner.next(FileProduced)
    assert (told.name, told.media_type, told.size) == ("told.md", "text/markdown", 7)
    seen = len(runner.events)
    command = "head -c 600000 /dev/urandom > $REPOBRIDGE_OUTBOX/data.bin"
    anthropic_api.script(bash(command), Text("it is there"))
    await runner.submit("make one")
    asked = await runner.approval()
    await runner.decide(asked.request_id, verdict=pb.VERDICT_ALLOW)
    produced = await runner.next(FileProduced, after=seen)
    assert "outbox" in anthropic_api.requests[-1].system
    content, part = await _download(runner, produced.blob_id)
    assert (produced.name, produced.size, len(content)) == ("data.bin", 600_000, 600_000)
    assert produced.sha256 == hashlib.sha256(content).hexdigest()
    assert (part.name, part.size) == ("data.bin", 600_000)
    tail, _ = await _download(runner, produced.blob_id, offset=599_990)
    assert tail == content[-10:]
    await runner.ended("m2")
    event = next(event for event in runner.events if event.body is produced)
    assert event.conversation_id == "main"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await _download(runner, "f" * 64)
    assert from_rpc_error(refused.value).reason == "UNKNOWN_BLOB"
    await runner.stop()
    await runner.start()
    await runner.turn("are you there?")
    assert len(runner.of(FileProduced)) == 2
    assert (await _download(runner, produced.blob_id))[0] == content


async def _upload(
    runner: LiveRunner, content: bytes, *, sha256: str = "", size: int = -1, **header: str
) -> pb.UploadResponse:
    fields = {
        "conversation_id": "main",
        "message_id": "m1",
        "attachment_id": "a1",
        "name": "file.txt",
        "media_type": "text/plain",
        **header,
    }
    whole = pb.UploadHeader(
        sha256=sha256 or hashlib.sha256(content).hexdigest(),
        size=len(content) if size < 0 else size,
        **fields,
    )

    async def parts() -> AsyncIterator[pb.UploadRequest]:
        yield pb.UploadRequest(header=whole)
        for start in range(0, len(content), CHUNK_BYTES):
            yield pb.UploadRequest(chunk=content[start : start + CHUNK_BYTES])

    return await runner.stub.Upload(parts())


async def _refused(
    runner: LiveRunner, content: bytes, *, sha256: str = "", size: int = -1, **header: str
) -> Refusal:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await _upload(runner, content, sha256=sha256, size=size, **header)
    return from_rpc_error(refused.value)


async def _download(
    runner: LiveRunner, blob_id: str, *, offset: int = 0
) -> tuple[bytes, pb.DownloadResponse]:
    request = pb.DownloadRequest(blob_id=blob_id, offset=offset)
    parts = [part async for part in runner.stub.Download(request)]
    return b"".join(part.chunk for part in parts), parts[0]
