"""Contents that are too large for an event, each kept once under the hash of its bytes.

A blob is on disk, with its description, before it has a name: what a put returned survives any
crash, and what a crash left unfinished is swept at the next start. For use by several threads.
"""

from __future__ import annotations

import hashlib
import json
import mimetypes
import os
import re
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from repobridge.errors import Refusal, Status
from repobridge_runner.diskspace import disk_full, refusing_when_full
from repobridge_runner.filenames import safe_name

_CHUNK_BYTES = 1 << 20
_BLOB_ID = re.compile("[0-9a-f]{64}")
_UNKNOWN_TYPE = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """A blob's description; the id is the SHA-256 of its content."""

    blob_id: str
    name: str
    media_type: str
    size: int


class BlobStore:
    """The blobs below a directory, bounded in size; the oldest that nothing refers to go first."""

    def __init__(
        self,
        directory: Path,
        *,
        max_bytes: int = 2 << 30,
        max_file_bytes: int = 100 << 20,
        keep_seconds: float = 3600.0,
        referenced: Callable[[], Collection[str]] = tuple,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Younger blobs than `keep_seconds` stay: the event that names one is still to come.

        `referenced` says which ids must stay; it is called within a put, in its thread.
        """
        self._directory = directory
        self._incoming = directory / "incoming"
        self._max_bytes = max_bytes
        self._max_file_bytes = max_file_bytes
        self._keep_seconds = keep_seconds
        self._referenced = referenced
        self._clock = clock
        self._lock = threading.Lock()
        self._incoming.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in self._incoming.iterdir():
            left.unlink()
        self._size = sum(size for _, size, _ in self._blobs())

    @property
    def size(self) -> int:
        """The bytes of all blobs."""
        return self._size

    def put_bytes(self, content: bytes, *, name: str, media_type: str = "") -> BlobInfo:
        """Keeps a content; raises Refusal: DISK_FULL, FILE_TOO_LARGE."""
        return self._put(iter((content,)), name=name, media_type=media_type)

    def put_file(self, path: Path, *, name: str = "", media_type: str = "") -> BlobInfo:
        """Keeps a copy of a regular file, following no link; raises OSError and Refusal.

        What is kept is what was read: the id is the hash of the copy, even if the file changes.
        """
        with open_regular(path) as file:
            return self._put(_chunks(file), name=name or path.name, media_type=media_type)

    def open(self, blob_id: str) -> tuple[BlobInfo, BinaryIO]:
        """A blob's description and content; raises Refusal UNKNOWN_BLOB."""
        info = self.info(blob_id)
        try:
            return info, self._path(blob_id).open("rb")
        except FileNotFoundError:
            raise _unknown(blob_id) from None

    def info(self, blob_id: str) -> BlobInfo:
        """A blob's description; raises Refusal UNKNOWN_BLOB."""
        if not _BLOB_ID.fullmatch(blob_id):
            raise _unknown(blob_id)
        try:
            size = self._path(blob_id).stat().st_size
            told = json.loads(self._description(blob_id).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise _unknown(blob_id) from None
        except ValueError:
            told = {}
        return BlobInfo(
            blob_id, told.get("name", blob_id), told.get("media_type", _UNKNOWN_TYPE), size
        )

    def trim(self, max_bytes: int) -> int:
        """Removes the oldest blobs that may go until the rest fits; returns the bytes left."""
        with self._lock:
            self._make_room(max_bytes)
            return self._size

    def _put(self, chunks: Iterator[bytes], *, name: str, media_type: str) -> BlobInfo:
        plain = safe_name(name)
        kind = media_type or mimetypes.guess_type(plain)[0] or _UNKNOWN_TYPE
        with refusing_when_full():
            handle, temporary = tempfile.mkstemp(dir=self._incoming)
            try:
                with open(handle, "wb") as file:
                    blob_id, size = self._copy(chunks, file)
                info = BlobInfo(blob_id, plain, kind, size)
                with self._lock:
                    self._admit(info, Path(temporary))
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(temporary)
        return info

    def _copy(self, chunks: Iterator[bytes], file: IO[bytes]) -> tuple[str, int]:
        digest, size = hashlib.sha256(), 0
        for chunk in chunks:
            size += len(chunk)
            if size > min(self._max_file_bytes, self._max_bytes):
                raise _too_large(self._max_file_bytes)
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
        return digest.hexdigest(), size

    def _admit(self, info: BlobInfo, temporary: Path) -> None:
        path = self._path(info.blob_id)
        known = path.exists()
        if not known:
            self._make_room(self._max_bytes - info.size)
            if self._size + info.size > self._max_bytes:
                raise disk_full(
                    "The store of files and long texts is full, and what is in it is still"
                    " needed; deliver or trim older events."
                )
        path.parent.mkdir(exist_ok=True, mode=0o700)
        # The description first: where the content stands, so does its description.
        self._describe(info)
        if known:
            os.utime(path, (self._clock(), self._clock()))
            return
        os.utime(temporary, (self._clock(), self._clock()))
        os.replace(temporary, path)
        self._size += info.size
        _sync_directory(path.parent)

    def _describe(self, info: BlobInfo) -> None:
        handle, temporary = tempfile.mkstemp(dir=self._incoming)
        with open(handle, "w", encoding="utf-8") as file:
            json.dump({"name": info.name, "media_type": info.media_type}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self._description(info.blob_id))

    def _make_room(self, max_bytes: int) -> None:
        if self._size <= max_bytes:
            return
        kept = set(self._referenced())
        oldest_kept = self._clock() - self._keep_seconds
        for written_at, size, path in sorted(self._blobs()):
            if self._size <= max_bytes or written_at > oldest_kept:
                return
            if path.name not in kept:
                path.unlink()
                self._description(path.name).unlink(missing_ok=True)
                self._size -= size

    def _blobs(self) -> Iterator[tuple[float, int, Path]]:
        for folder in self._directory.glob("[0-9a-f][0-9a-f]"):
            for path in folder.iterdir():
                if _BLOB_ID.fullmatch(path.name):
                    status = path.stat()
                    yield status.st_mtime, status.st_size, path

    def _path(self, blob_id: str) -> Path:
        return self._directory / blob_id[:2] / blob_id

    def _description(self, blob_id: str) -> Path:
        return self._directory / blob_id[:2] / f"{blob_id}.json"


def open_regular(path: Path) -> BinaryIO:
    """Opens a file for reading if it is a regular one and no link; raises OSError otherwise."""
    # Without O_NONBLOCK a pipe in the file's place would hold the caller for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        os.close(descriptor)
        raise OSError(f"{path} is not a regular file of its own")
    return os.fdopen(descriptor, "rb")


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK_BYTES):
        yield chunk


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unknown(blob_id: str) -> Refusal:
    return Refusal(
        Status.NOT_FOUND, "UNKNOWN_BLOB",
        "There is no such blob; it may have been trimmed with the event that named it.",
        {"blob_id": blob_id[:64]},
    )  # fmt: skip


def _too_large(limit: int) -> Refusal:
    return Refusal(
        Status.RESOURCE_EXHAUSTED, "FILE_TOO_LARGE",
        f"The file is larger than the {limit} bytes that are taken.",
        {"limit": str(limit)},
    )  # fmt: skip
