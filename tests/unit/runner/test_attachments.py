"""An attachment is checked as it comes, lands where nobody expects it but its session, and once."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from repobridge.errors import Refusal, Status
from repobridge_runner.attachments import AttachmentHeader, Attachments, Received

CONTENT = b"some content"
HEADER = AttachmentHeader(
    conversation_id="main",
    message_id="m1",
    attachment_id="a1",
    name="notes.txt",
    media_type="text/plain",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    size=len(CONTENT),
)


async def chunks(content: bytes = CONTENT, size: int = 5) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def never() -> AsyncIterator[bytes]:
    raise AssertionError("a duplicate must not be read")
    yield b""


async def refusal(attachments: Attachments, header: AttachmentHeader, content: bytes) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await attachments.receive(header, chunks(content))
    return caught.value


def files_in(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*.*"))


async def test_a_file_lands_in_its_messages_folder(tmp_path: Path) -> None:
    attachments = Attachments(tmp_path / "attachments")
    path = tmp_path / "attachments/main/m1/notes.txt"
    assert await attachments.receive(HEADER, chunks()) == Received(path, duplicate=False)
    assert path.read_bytes() == CONTENT
    assert attachments.lookup("main", "m1", ["a1"]) == [path]


async def test_an_upload_may_be_repeated(tmp_path: Path) -> None:
    first = await Attachments(tmp_path).receive(HEADER, chunks())
    again = await Attachments(tmp_path).receive(HEADER, never())
    assert again == Received(first.path, duplicate=True)


async def test_two_uploads_of_one_attachment_at_once_make_one_file(tmp_path: Path) -> None:
    attachments = Attachments(tmp_path)
    done = await asyncio.gather(*(attachments.receive(HEADER, chunks()) for _ in range(4)))
    assert {each.path for each in done} == {tmp_path / "main/m1/notes.txt"}
    assert sorted(each.duplicate for each in done) == [False, True, True, True]
    assert files_in(tmp_path) == [".incoming", "main/m1/.received.json", "main/m1/notes.txt"]


async def test_a_file_that_was_deleted_or_changed_may_come_again(tmp_path: Path) -> None:
    attachments = Attachments(tmp_path)
    first = await attachments.receive(HEADER, chunks())
    first.path.unlink()
    with pytest.raises(Refusal):
        attachments.lookup("main", "m1", ["a1"])
    assert await attachments.receive(HEADER, chunks()) == first


async def test_equal_names_are_told_apart(tmp_path: Path) -> None:
    attachments = Attachments(tmp_path)
    await attachments.receive(HEADER, chunks())
    second = await attachments.receive(replace(HEADER, attachment_id="a2"), chunks())
    other = await attachments.receive(replace(HEADER, message_id="m2"), chunks())
    assert second.path == tmp_path / "main/m1/notes-2.txt"
    assert other.path == tmp_path / "main/m2/notes.txt"
    assert attachments.lookup("main", "m1", ["a2", "a1"]) == [
        second.path,
        tmp_path / "main/m1/notes.txt",
    ]


async def test_names_from_outside_stay_inside(tmp_path: Path) -> None:
    header = replace(
        HEADER, name="../../../../etc/\u202ecron", conversation_id="..", message_id="../x"
    )
    received = await Attachments(tmp_path).receive(header, chunks())
    assert received.path.name == "cron"
    assert received.path.resolve().is_relative_to(tmp_path)
    assert len(received.path.relative_to(tmp_path).parts) == 3


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "Only 0 of the 12 bytes came"),
        (CONTENT[:-1], "Only 11 of the 12 bytes came"),
        (CONTENT + b"!", "More than the 12 bytes came"),
        (CONTENT.upper(), "has another SHA-256"),
    ],
)
async def test_what_differs_from_its_header_leaves_nothing(
    tmp_path: Path, content: bytes, sentence: str
) -> None:
    refused = await refusal(Attachments(tmp_path), HEADER, content)
    assert (refused.status, refused.reason) == (Status.INVALID_ARGUMENT, "HASH_MISMATCH")
    assert sentence in refused.message
    assert files_in(tmp_path) == [".incoming"]
    assert list((tmp_path / ".incoming").iterdir()) == []


async def test_a_file_over_the_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    attachments = Attachments(tmp_path, max_file_bytes=11)
    with pytest.raises(Refusal) as caught:
        await attachments.receive(HEADER, never())
    assert (caught.value.reason, caught.value.params) == (
        "FILE_TOO_LARGE",
        {"limit": "11", "size": "12"},
    )


async def test_an_interrupted_upload_leaves_nothing(tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield CONTENT[:5]
        raise ConnectionError

    attachments = Attachments(tmp_path)
    with pytest.raises(ConnectionError):
        await attachments.receive(HEADER, broken())
    assert list((tmp_path / ".incoming").iterdir()) == []
    (tmp_path / ".incoming/left").write_text("of a crash")
    Attachments(tmp_path)
    assert list((tmp_path / ".incoming").iterdir()) == []


async def test_an_attachment_nobody_uploaded_is_named(tmp_path: Path) -> None:
    attachments = Attachments(tmp_path)
    await attachments.receive(HEADER, chunks())
    with pytest.raises(Refusal) as caught:
        attachments.lookup("main", "m1", ["a1", "a9"])
    assert (caught.value.status, caught.value.reason) == (
        Status.INVALID_ARGUMENT,
        "UNKNOWN_ATTACHMENT",
    )
    assert "a9" in caught.value.message


async def test_a_folder_that_became_a_link_is_not_followed(tmp_path: Path) -> None:
    attachments = Attachments(tmp_path / "attachments")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "attachments/main").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="main"):
        await attachments.receive(HEADER, chunks())
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize(
    "record", ['{"a1": {"name": "../../../etc/passwd"}}', "[]", '{"a1": 1}', "x"]
)
async def test_a_forged_record_leads_nowhere(tmp_path: Path, record: str) -> None:
    attachments = Attachments(tmp_path)
    received = await attachments.receive(HEADER, chunks())
    (received.path.parent / ".received.json").write_text(record)
    with pytest.raises(Refusal):
        attachments.lookup("main", "m1", ["a1"])
    assert (await attachments.receive(HEADER, chunks())).path.name == "notes-2.txt"


async def test_a_record_that_became_a_pipe_holds_nobody(tmp_path: Path) -> None:
    attachments = Attachments(tmp_path)
    received = await attachments.receive(HEADER, chunks())
    (received.path.parent / ".received.json").unlink()
    os.mkfifo(received.path.parent / ".received.json")
    async with asyncio.timeout(60):
        await attachments.receive(HEADER, chunks())
    assert attachments.lookup("main", "m1", ["a1"]) == [received.path.with_name("notes-2.txt")]
