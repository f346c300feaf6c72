"""A difference holds all that changed, runs nothing of the repository's, and copies nothing."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from repobridge.session.events import WorkspaceChanged
from repobridge_runner import changes
from repobridge_runner.workspace import DiffResult, Workspace
from tests.fakes import githttp
from tests.unit.runner.gitcases import unheard, workspace


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return githttp.make_repository(
        tmp_path / "repo", {"a": "1\n2\n", "old name": "same\n" * 20, ".gitignore": "*.log\n"}
    )


@pytest.fixture
async def work(tmp_path: Path, checkout: Path) -> AsyncIterator[Workspace]:
    made = workspace(tmp_path, directory=checkout)
    await made.prepare(unheard)
    yield made
    made.close()


async def test_nothing_changed(work: Workspace, checkout: Path) -> None:
    head = githttp.git(checkout, "rev-parse", "HEAD")
    assert await work.status(checkout) == WorkspaceChanged(branch="main", head=head)
    assert await work.diff(checkout) == DiffResult(branch="main")


async def test_every_kind_of_change_is_in_the_difference(work: Workspace, checkout: Path) -> None:
    index = (checkout / ".git/index").read_bytes()
    (checkout / "a").write_text("1\nzwei\n")
    (checkout / "old name").rename(checkout / "new name")
    (checkout / "tab\tand ü").write_text("x\n")
    (checkout / "picture").write_bytes(b"\0\1\2")
    (checkout / "build.log").write_text("ignored")
    (checkout / "link").symlink_to("/etc/passwd")
    os.mkfifo(checkout / "pipe")
    found = await work.diff(checkout)
    assert (found.files, found.insertions, found.deletions, found.cut) == (5, 3, 1, False)
    assert "-2\n+zwei\n" in found.unified
    assert "rename from old name\nrename to new name\n" in found.unified
    assert '"b/tab\\tand \\303\\274"' in found.unified
    assert "Binary files /dev/null and b/picture differ" in found.unified
    assert "+/etc/passwd\n\\ No newline" in found.unified
    assert "ignored" not in found.unified
    assert (await work.status(checkout)).dirty
    assert (checkout / ".git/index").read_bytes() == index
    # Nothing but the empty blob that notes a file.
    assert githttp.git(checkout, "count-objects").split()[0] == "6"


async def test_a_worktrees_difference_is_since_it_began(work: Workspace, checkout: Path) -> None:
    made = await work.worktree("123")
    githttp.commit(made.path, {"committed": "1\n"})
    (made.path / "not yet").write_text("2\n")
    githttp.commit(checkout, {"elsewhere": "3\n"})
    found = await work.diff(made.path)
    assert (found.files, found.insertions, found.branch) == (2, 2, "repobridge/123")
    assert (await work.diff(made.path, "HEAD")).files == 1
    status = await work.status(made.path)
    assert (status.dirty, status.ahead, status.behind) == (True, 1, 1)


async def test_a_huge_difference_is_cut(
    work: Workspace, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "DIFF_BYTES", 1000)
    (checkout / "big").write_text("line\n" * 100_000)
    found = await work.diff(checkout)
    assert (len(found.unified), found.cut) == (1000, True)
    assert (found.files, found.insertions) == (1, 100_000)


async def test_bytes_that_are_no_text_are_replaced(work: Workspace, checkout: Path) -> None:
    (checkout / "latin1").write_bytes(b"caf\xe9\n")
    assert "+caf\N{REPLACEMENT CHARACTER}\n" in (await work.diff(checkout)).unified


async def test_nothing_that_the_repository_names_is_run(
    work: Workspace, checkout: Path, tmp_path: Path
) -> None:
    trap = tmp_path / "trap"
    trap.write_text(f'#!/bin/sh\ntouch "{tmp_path}/sprung-${{1##*/}}"\ncat\n')
    trap.chmod(0o755)
    hooks = checkout / ".git/hooks"
    hooks.mkdir(exist_ok=True)
    for hook in ("post-checkout", "post-index-change", "reference-transaction", "pre-auto-gc"):
        (hooks / hook).write_text(f"#!/bin/sh\n{trap} {hook}\n")
        (hooks / hook).chmod(0o755)
    (checkout / ".gitattributes").write_text("* filter=evil diff=evil\n")
    for name, value in {
        "core.fsmonitor": f"{trap} fsmonitor",
        "core.pager": f"{trap} pager",
        "core.askPass": str(trap),
        "core.sshCommand": f"{trap} ssh",
        "diff.external": f"{trap} external",
        "diff.evil.textconv": f"{trap} textconv",
        "diff.evil.command": f"{trap} command",
        "filter.evil.clean": f"{trap} clean",
        "filter.evil.smudge": f"{trap} smudge",
        "filter.evil.required": "true",
        "credential.helper": f"!{trap} credential",
        "core.worktree": "/etc",
    }.items():
        githttp.git(tmp_path, f"--git-dir={checkout}/.git", "config", name, value)
    (checkout / "a").write_text("changed\n")
    (checkout / "new").write_text("new\n")

    made = await work.worktree("123")
    (made.path / "a").write_text("there\n")
    assert "+there" in (await work.diff(made.path)).unified
    found = await work.diff(checkout)
    assert "+changed" in found.unified
    assert found.files == 3
    assert (await work.status(made.path)).dirty
    assert (await work.status(checkout)).dirty
    assert [path.name for path in tmp_path.glob("sprung-*")] == []
