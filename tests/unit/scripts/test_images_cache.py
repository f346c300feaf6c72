"""When images are built anew, and where they lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scripts.images.cache import Cache
from scripts.images.contents import ROOT, content_key, copy_contents


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    copy_contents(ROOT, tmp_path / "copy")
    return tmp_path / "copy"


def test_a_copy_has_the_key_of_what_was_copied_and_nothing_else(copy: Path) -> None:
    key = content_key(copy)
    assert len(key) == 16
    (copy / "notes.txt").write_text("not part of an image")
    (copy / "core" / "__pycache__").mkdir()
    (copy / "core" / "__pycache__" / "x.pyc").write_bytes(b"")
    os.utime(copy / "Dockerfile", (0, 0))
    assert content_key(copy) == key
    assert {path.name for path in (copy / "scripts").iterdir()} == {"install-claude", "npm.py"}
    assert not (copy / "tests").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda copy: (copy / "core/repobridge/names.py").write_text("x = 1\n"),
        lambda copy: (copy / "core/repobridge/new.py").write_text(""),
        lambda copy: (copy / "cli/repobridge_cli/main.py").unlink(),
        lambda copy: (copy / "scripts/install-claude").chmod(0o644),
    ],
    ids=["changed", "new", "gone", "mode"],
)
def test_whatever_goes_in_changes_the_key(copy: Path, change: object) -> None:
    key = content_key(copy)
    assert callable(change)
    change(copy)
    assert content_key(copy) != key


def test_another_tag_is_another_key(copy: Path) -> None:
    assert content_key(copy, "a", "b") != content_key(copy, "ab")


def test_the_cache_lies_where_the_environment_says() -> None:
    assert Cache.from_environment({"REPOBRIDGE_CACHE": "/c"}).root == Path("/c/images")
    assert Cache.from_environment({"XDG_CACHE_HOME": "/x"}).root == Path("/x/repobridge/images")
    assert Cache.from_environment({}).root == Path.home() / ".cache/repobridge/images"


def test_the_three_youngest_keys_are_kept(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "images")
    with cache.lock(lambda: None):
        for number in range(5):
            for name in ("control-plane", "session-runner"):
                with cache.work() as work:
                    (work / "archive").write_text(f"{number}")
                    cache.keep(work / "archive", cache.archive(f"key{number}", name))
            os.utime(cache.root / f"key{number}", (number, number))
    assert sorted(path.name for path in cache.root.glob("key*")) == ["key2", "key3", "key4"]
    assert cache.archive("key4", "session-runner").read_text() == "4"
    assert list(cache.root.glob(".unfinished-*")) == []
