"""Files that people attach to a message: checked as they stream in, and laid beside the session.

They land at `<conversation>/<message>/<name>` below a directory that the agent may read and git
does not see. The agent may also write there, so a path is followed folder by folder without links,
and a record of it is believed only as far as it names a safe file in its own folder.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repobridge import names
from repobridge.errors import Refusal, Status
from repobridge_runner.diskspace import refusing_when_full
from repobridge_runner.filenames import numbered, safe_name

_RECORD = ".received.json"
_INCOMING = ".incoming"
_MOST_RECORD_BYTES = 1 << 20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, kw_only=True)
class AttachmentHeader:
    """What a client says of a file before it sends it."""

    conversation_id: str
    message_id: str
    attachment_id: str
    name: str
    media_type: str
    sha256: str
    """Lower-case hex of the content."""
    size: int


@dataclass(frozen=True)
class Received:
    """Where an attachment landed."""

    path: Path
    duplicate: bool


class Attachments:
    """The attachments below a directory, the same on every repeat of an upload."""

    def __init__(self, directory: Path, *, max_file_bytes: int = 25 << 20) -> None:
        self._directory = directory
        self._max_file_bytes = max_file_bytes
        self._landing = asyncio.Lock()
        self._sweep()

    async def receive(self, header: AttachmentHeader, chunks: AsyncIterator[bytes]) -> Received:
        """Takes one file; raises Refusal: FILE_TOO_LARGE, HASH_MISMATCH, DISK_FULL.

        A file that is there already is not read again.
        """
        self._check(header)
        path = self._folder_path(header.conversation_id, header.message_id)
        with (
            refusing_when_full(),
            _opened(self._directory, path) as folder,
            _opened(self._directory, self._directory / _INCOMING) as incoming,
        ):
            if known := _find(folder, header):
                return Received(path / known, duplicate=True)
            partial = os.urandom(16).hex()
            try:
                await _write(incoming, partial, header, chunks)
                async with self._landing:
                    if known := _find(folder, header):
                        return Received(path / known, duplicate=True)
                    name = await asyncio.to_thread(_land, incoming, partial, folder, header)
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(partial, dir_fd=incoming)
            return Received(path / name, duplicate=False)

    def lookup(
        self, conversation_id: str, message_id: str, attachment_ids: Sequence[str]
    ) -> list[Path]:
        """Where a message's attachments are, in that order; raises Refusal UNKNOWN_ATTACHMENT."""
        path = self._folder_path(conversation_id, message_id)
        records = _read_records_at(path)
        found = []
        for attachment_id in attachment_ids:
            record = records.get(attachment_id)
            if record is None or not (path / record["name"]).is_file():
                raise Refusal(
                    Status.INVALID_ARGUMENT, "UNKNOWN_ATTACHMENT",
                    f"No attachment {attachment_id} was uploaded for message {message_id};"
                    " upload it before the message that names it.",
                    {"attachment_id": attachment_id},
                )  # fmt: skip
            found.append(path / record["name"])
        return found

    def directory(self, conversation_id: str) -> Path:
        """Where a conversation's attachments land, those to come too."""
        return self._directory / names.slug(conversation_id)

    def _sweep(self) -> None:
        """Removes what interrupted uploads left."""
        with _opened(self._directory, self._directory / _INCOMING) as incoming:
            for name in os.listdir(incoming):
                with suppress(OSError):
                    os.unlink(name, dir_fd=incoming)

    def _folder_path(self, conversation_id: str, message_id: str) -> Path:
        return self.directory(conversation_id) / names.slug(message_id)

    def _check(self, header: AttachmentHeader) -> None:
        if header.size > self._max_file_bytes:
            raise Refusal(
                Status.RESOURCE_EXHAUSTED, "FILE_TOO_LARGE",
                f"The file has {header.size} bytes; at most {self._max_file_bytes} are taken.",
                {"limit": str(self._max_file_bytes), "size": str(header.size)},
            )  # fmt: skip
        if not re.fullmatch("[0-9a-f]{64}", header.sha256):
            raise _mismatch("The header's sha256 must be 64 lower-case hexadecimal digits.")


async def _write(
    incoming: int, partial: str, header: AttachmentHeader, chunks: AsyncIterator[bytes]
) -> None:
    """Writes what comes, as long as it fits what the header says."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with os.fdopen(os.open(partial, flags, 0o600, dir_fd=incoming), "wb") as file:
        digest, size = hashlib.sha256(), 0
        async for chunk in chunks:
            size += len(chunk)
            if size > header.size:
                raise _mismatch(f"More than the {header.size} bytes came that the header says.")
            digest.update(chunk)
            await asyncio.to_thread(file.write, chunk)
        if size < header.size:
            raise _mismatch(f"Only {size} of the {header.size} bytes came that the header says.")
        if digest.hexdigest() != header.sha256:
            raise _mismatch("The content has another SHA-256 than the header says; send it again.")
        await asyncio.to_thread(_sync, file.fileno(), file.flush)


def _land(incoming: int, partial: str, folder: int, header: AttachmentHeader) -> str:
    """Gives a complete file its name, one that no other has, and notes it."""
    wanted, number = safe_name(header.name), 1
    while True:
        name = numbered(wanted, number)
        try:
            # Takes the name; the rename then puts the content there at once.
            os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder))
            break
        except FileExistsError:
            number += 1
    os.rename(partial, name, src_dir_fd=incoming, dst_dir_fd=folder)
    records = _read_records(folder)
    records[header.attachment_id] = {
        "name": name, "sha256": header.sha256, "size": header.size,
        "media_type": header.media_type,
    }  # fmt: skip
    _write_records(incoming, folder, records)
    os.fsync(folder)
    return name


def _find(folder: int, header: AttachmentHeader) -> str:
    """The name under which the very file is there; empty when it is not."""
    record = _read_records(folder).get(header.attachment_id)
    if record is None or record.get("sha256") != header.sha256:
        return ""
    name: str = record["name"]
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return ""
    return name if status.st_size == header.size else ""


@contextmanager
def _opened(root: Path, path: Path) -> Iterator[int]:
    folder = _open_folder(root, path)
    try:
        yield folder
    finally:
        os.close(folder)


def _open_folder(root: Path, path: Path) -> int:
    """Opens the folder, made where missing, without following a link below the root."""
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = os.open(root, _FOLDER)
    for part in path.relative_to(root).parts:
        try:
            with suppress(FileExistsError):
                os.mkdir(part, 0o700, dir_fd=folder)
            deeper = os.open(part, _FOLDER, dir_fd=folder)
        finally:
            os.close(folder)
        folder = deeper
    return folder


def _read_records_at(path: Path) -> dict[str, dict[str, Any]]:
    try:
        folder = os.open(path, _FOLDER)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    try:
        return _read_records(folder)
    finally:
        os.close(folder)


def _read_records(folder: int) -> dict[str, dict[str, Any]]:
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with os.fdopen(os.open(_RECORD, flags, dir_fd=folder), "rb") as file:
            records = json.loads(file.read(_MOST_RECORD_BYTES))
        return {
            attachment_id: record
            for attachment_id, record in records.items()
            if safe_name(record["name"]) == record["name"]
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _write_records(incoming: int, folder: int, records: dict[str, dict[str, Any]]) -> None:
    new = os.urandom(16).hex()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with os.fdopen(os.open(new, flags, 0o600, dir_fd=incoming), "w", encoding="utf-8") as file:
        json.dump(records, file)
        _sync(file.fileno(), file.flush)
    os.rename(new, _RECORD, src_dir_fd=incoming, dst_dir_fd=folder)


def _sync(descriptor: int, flush: Any) -> None:
    flush()
    os.fsync(descriptor)


def _mismatch(sentence: str) -> Refusal:
    return Refusal(Status.INVALID_ARGUMENT, "HASH_MISMATCH", sentence, {})
