"""A blob is kept once, whole or not at all, and within bounds."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from pathlib import Path

import pytest

from repobridge.errors import Refusal
from repobridge_runner.blobs import BlobInfo, BlobStore


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def blobs_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.rglob("*") if path.is_file())


def test_what_was_put_is_read_back(tmp_path: Path) -> None:
    put = BlobStore(tmp_path).put_bytes(b"hello", name="../a.json")
    assert put == BlobInfo(digest(b"hello"), "a.json", "application/json", 5)
    info, file = BlobStore(tmp_path).open(put.blob_id)
    with file:
        assert (info, file.read()) == (put, b"hello")


def test_a_content_is_kept_once_under_its_latest_name(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    first = store.put_bytes(b"x" * 100, name="a.txt")
    second = store.put_bytes(b"x" * 100, name="b.bin", media_type="application/x-b")
    assert (store.size, first.blob_id) == (100, second.blob_id)
    assert store.info(first.blob_id) == second
    assert blobs_in(tmp_path) == [first.blob_id, f"{first.blob_id}.json"]


def test_a_file_is_copied(tmp_path: Path) -> None:
    content = os.urandom(3 << 20)
    (tmp_path / "picture.png").write_bytes(content)
    info = BlobStore(tmp_path / "blobs").put_file(tmp_path / "picture.png")
    assert info == BlobInfo(digest(content), "picture.png", "image/png", 3 << 20)


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "hard link", "missing"])
def test_anything_but_a_file_of_its_own_is_refused(tmp_path: Path, kind: str) -> None:
    (tmp_path / "secret").write_text("x")
    path = tmp_path / "thing"
    if kind == "link":
        path.symlink_to("secret")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "hard link":
        path.hardlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match="thing"):
        BlobStore(tmp_path / "blobs").put_file(path)
    assert blobs_in(tmp_path / "blobs") == []


@pytest.mark.parametrize("blob_id", ["", "x", "../../etc/passwd", "0" * 64, "A" * 64])
def test_an_unknown_blob_is_refused(tmp_path: Path, blob_id: str) -> None:
    with pytest.raises(Refusal) as caught:
        BlobStore(tmp_path).open(blob_id)
    assert caught.value.reason == "UNKNOWN_BLOB"


def test_a_content_that_is_too_large_leaves_nothing(tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "blobs", max_file_bytes=10)
    (tmp_path / "file").write_bytes(b"x" * 11)
    with pytest.raises(Refusal) as caught:
        store.put_file(tmp_path / "file")
    assert caught.value.reason == "FILE_TOO_LARGE"
    assert (store.size, blobs_in(tmp_path / "blobs")) == (0, [])


def test_the_oldest_that_nothing_refers_to_goes_first(tmp_path: Path) -> None:
    now = [1000.0]
    kept: set[str] = set()
    store = BlobStore(
        tmp_path, max_bytes=30, keep_seconds=5, referenced=lambda: kept, clock=lambda: now[0]
    )
    ids = []
    for content in (b"a" * 10, b"b" * 10, b"c" * 10):
        ids.append(store.put_bytes(content, name="x").blob_id)
        now[0] += 10
    kept.add(ids[0])
    newest = store.put_bytes(b"d" * 10, name="x").blob_id
    there = {name for name in blobs_in(tmp_path) if not name.endswith(".json")}
    assert (there, store.size) == ({ids[0], ids[2], newest}, 30)
    assert len(blobs_in(tmp_path)) == 6


def test_a_repeated_put_makes_a_blob_young_again(tmp_path: Path) -> None:
    now = [1000.0]
    store = BlobStore(tmp_path, max_bytes=20, keep_seconds=5, clock=lambda: now[0])
    first = store.put_bytes(b"a" * 10, name="x").blob_id
    now[0] += 10
    second = store.put_bytes(b"b" * 10, name="x").blob_id
    now[0] += 10
    store.put_bytes(b"a" * 10, name="x")
    store.put_bytes(b"c" * 10, name="x")
    assert store.info(first).size == 10
    with pytest.raises(Refusal):
        store.info(second)


def test_no_room_beside_what_is_needed_is_refused(tmp_path: Path) -> None:
    store = BlobStore(tmp_path, max_bytes=15)
    store.put_bytes(b"a" * 10, name="x")
    with pytest.raises(Refusal) as caught:
        store.put_bytes(b"b" * 10, name="x")
    assert (caught.value.status.value, caught.value.reason) == ("RESOURCE_EXHAUSTED", "DISK_FULL")
    assert store.size == 10


def test_a_full_disk_is_a_refusal_that_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = BlobStore(tmp_path)

    def fsync(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(Refusal) as caught:
            store.put_bytes(b"x", name="x")
    assert caught.value.reason == "DISK_FULL"
    assert blobs_in(tmp_path) == []
    assert store.put_bytes(b"x", name="x").size == 1


def test_what_a_crash_left_unfinished_is_swept(tmp_path: Path) -> None:
    BlobStore(tmp_path).put_bytes(b"whole", name="x")
    (tmp_path / "incoming/left").write_bytes(b"half")
    store = BlobStore(tmp_path)
    assert store.size == 5
    assert list((tmp_path / "incoming").iterdir()) == []


def test_a_lost_description_loses_no_content(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    put = store.put_bytes(b"x", name="a")
    (tmp_path / put.blob_id[:2] / f"{put.blob_id}.json").write_text("{")
    info, file = store.open(put.blob_id)
    file.close()
    assert info == BlobInfo(put.blob_id, put.blob_id, "application/octet-stream", 1)


def test_many_threads_agree_on_the_size(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)

    def put() -> None:
        for number in range(20):
            store.put_bytes(b"x" * number, name="x")

    threads = [threading.Thread(target=put) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.size == BlobStore(tmp_path).size == sum(range(20))
