"""Each file that a session closes in its outbox comes out once, and nothing else does."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import pytest

from repobridge_runner.blobs import open_regular
from repobridge_runner.inotify import News, Watch
from repobridge_runner.outbox import watch_outbox

POLL_SECONDS = 0.02
LATER = 1e12
"""A clock for which every file is long settled."""


class Reader:
    """Takes files out one by one."""

    def __init__(self, files: AsyncIterator[tuple[str, Path]]) -> None:
        assert isinstance(files, AsyncGenerator)
        self._files = files
        self._next: asyncio.Task[tuple[str, Path]] | None = None

    async def take(self) -> tuple[str, str]:
        """The next file's name and content."""
        async with asyncio.timeout(60):
            name, path = await (self._next or asyncio.ensure_future(anext(self._files)))
        self._next = None
        with open_regular(path) as file:
            return name, file.read().decode()

    async def look(self) -> None:
        """Lets the watch come up: everything later is news."""
        self._next = asyncio.ensure_future(anext(self._files))
        await asyncio.sleep(0)

    async def close(self) -> None:
        if self._next is not None:
            self._next.cancel()
            await asyncio.wait([self._next])
        await self._files.aclose()


@pytest.fixture
async def reader(tmp_path: Path) -> AsyncIterator[Reader]:
    made = Reader(watch_outbox(tmp_path / "outbox", poll_seconds=POLL_SECONDS))
    await made.look()
    yield made
    await made.close()


async def test_a_file_comes_when_it_is_closed(reader: Reader, tmp_path: Path) -> None:
    with (tmp_path / "outbox/slow").open("w") as slow:
        slow.write("half ")
        slow.flush()
        (tmp_path / "outbox/quick").write_text("x")
        assert await reader.take() == ("quick", "x")
        slow.write("whole")
    assert await reader.take() == ("slow", "half whole")


async def test_a_file_that_is_moved_in_comes(reader: Reader, tmp_path: Path) -> None:
    (tmp_path / "outbox/.tmp-1").write_text("x")
    (tmp_path / "outbox/.tmp-1").rename(tmp_path / "outbox/report.pdf")
    assert await reader.take() == ("report.pdf", "x")


async def test_a_file_comes_again_only_when_it_changed(reader: Reader, tmp_path: Path) -> None:
    (tmp_path / "outbox/a").write_text("1")
    assert await reader.take() == ("a", "1")
    with (tmp_path / "outbox/a").open("a"):
        pass
    (tmp_path / "outbox/b").write_text("1")
    assert await reader.take() == ("b", "1")
    (tmp_path / "outbox/a").write_text("12")
    assert await reader.take() == ("a", "12")


async def test_nothing_but_plain_files_comes(reader: Reader, tmp_path: Path) -> None:
    outbox = tmp_path / "outbox"
    (tmp_path / "secret").write_text("secret")
    (outbox / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "moved").symlink_to(tmp_path / "secret")
    (tmp_path / "moved").rename(outbox / "moved")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder").rename(outbox / "folder")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "pipe").rename(outbox / "pipe")
    (outbox / ".hidden").write_text("x")
    (outbox / "named later.md.tmp.7507.c3ee64192a6c").write_text("x")
    (outbox / "folder/deeper").write_text("x")
    (outbox / "last").write_text("x")
    assert await reader.take() == ("last", "x")


async def test_a_name_that_is_no_text_comes(reader: Reader, tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path / "outbox") + b"/caf\xe9")).write_text("x")
    assert await reader.take() == ("caf\udce9", "x")


async def test_a_restart_repeats_nothing_and_misses_nothing(tmp_path: Path) -> None:
    outbox, ledger = tmp_path / "outbox", tmp_path / "private/outbox.json"
    outbox.mkdir()
    first = Reader(watch_outbox(outbox, ledger=ledger))
    await first.look()
    for name in ("a", "b", "c"):
        (outbox / name).write_text(name)
        assert (await first.take())[0] == name
    # The last one was handed out, but never confirmed by asking for another.
    await first.close()
    (outbox / "a").write_text("changed meanwhile")
    (outbox / "b").unlink()
    (outbox / "d").write_text("new")
    second = Reader(watch_outbox(outbox, ledger=ledger, clock=lambda: LATER))
    found = {await second.take() for _ in range(3)}
    await second.close()
    assert found == {("a", "changed meanwhile"), ("c", "c"), ("d", "new")}


async def test_a_young_file_is_left_to_its_writer(tmp_path: Path) -> None:
    outbox = tmp_path / "outbox"
    outbox.mkdir()
    now = [0.0]
    with (outbox / "a").open("w") as file:
        file.write("half")
        file.flush()
        now[0] = os.stat(outbox / "a").st_mtime
        reader = Reader(watch_outbox(outbox, poll_seconds=POLL_SECONDS, clock=lambda: now[0]))
        await reader.look()
        (outbox / "b").write_text("")
        assert await reader.take() == ("b", "")
    assert await reader.take() == ("a", "half")
    await reader.close()


async def test_without_news_the_directory_is_looked_at(tmp_path: Path) -> None:
    def none(_directory: int) -> Watch:
        raise OSError("no inotify here")

    outbox = tmp_path / "outbox"
    reader = Reader(
        watch_outbox(outbox, poll_seconds=POLL_SECONDS, make_watch=none, clock=lambda: LATER)
    )
    await reader.look()
    (outbox / "a").write_text("1")
    assert await reader.take() == ("a", "1")
    (outbox / "b").write_text("2")
    assert await reader.take() == ("b", "2")
    shutil.rmtree(outbox)
    await reader.look()
    async with asyncio.timeout(60):
        while not outbox.exists():
            await asyncio.sleep(POLL_SECONDS)
    (outbox / "c").write_text("3")
    assert await reader.take() == ("c", "3")
    await reader.close()


async def test_lost_news_make_it_look_at_everything(tmp_path: Path) -> None:
    class Forgetful(Watch):
        def read(self) -> News:
            super().read()
            return News(overflowed=True)

    outbox = tmp_path / "outbox"
    reader = Reader(watch_outbox(outbox, make_watch=Forgetful, clock=lambda: LATER))
    await reader.look()
    for number in range(5):
        (outbox / str(number)).write_text("x")
    assert {(await reader.take())[0] for _ in range(5)} == set("01234")
    await reader.close()


async def test_a_flood_of_files_comes_whole(reader: Reader, tmp_path: Path) -> None:
    for number in range(1000):
        (tmp_path / f"outbox/{number}").write_text("x")
    assert {(await reader.take())[0] for _ in range(1000)} == {str(n) for n in range(1000)}


@pytest.mark.parametrize("how", ["removed", "moved", "link"])
async def test_an_outbox_that_was_taken_away_is_made_anew(
    reader: Reader, tmp_path: Path, how: str
) -> None:
    outbox = tmp_path / "outbox"
    (tmp_path / "private").mkdir()
    (tmp_path / "private/secret").write_text("secret")
    if how == "removed":
        outbox.rmdir()
    else:
        outbox.rename(tmp_path / "away")
    if how == "link":
        outbox.symlink_to(tmp_path / "private")
    async with asyncio.timeout(60):
        while outbox.is_symlink() or not outbox.is_dir():
            await asyncio.sleep(0.01)
    (outbox / "new").write_text("x")
    assert await reader.take() == ("new", "x")
    assert (tmp_path / "private/secret").read_text() == "secret"


async def test_a_path_leads_through_the_directory_as_it_was(
    tmp_path: Path,
) -> None:
    outbox = tmp_path / "outbox"
    files = watch_outbox(outbox)
    reader = Reader(files)
    await reader.look()
    (outbox / "journal").write_text("the agent's")
    assert reader._next is not None
    _, path = await reader._next
    (tmp_path / "private").mkdir()
    (tmp_path / "private/journal").write_text("ours")
    outbox.rename(tmp_path / "away")
    outbox.symlink_to(tmp_path / "private")
    await asyncio.sleep(0)
    with open_regular(path) as file:
        assert file.read() == b"the agent's"
    reader._next = None
    await reader.close()
