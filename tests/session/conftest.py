"""A live runner on a small repository, for the tests of this folder."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.anthropic import FakeAnthropic
from tests.live_runner import LiveRunner, live_runner


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit."""
    path = tmp_path / "repository"
    make_repository(path)
    return path


def make_repository(path: Path) -> None:
    """Makes a repository with one commit."""
    path.mkdir(parents=True)
    (path / "README.md").write_text("# A sample\n")
    git(path, "init", "--quiet", "--initial-branch=main")
    git(path, "add", ".")
    git(path, "commit", "--quiet", "--message=First")


def git(path: Path, *arguments: str) -> str:
    """Runs git with an identity of its own."""
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.invalid")
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=path, check=True, capture_output=True, text=True
    )
    return done.stdout


@pytest.fixture
async def runner(
    repository: Path, tmp_path: Path, claude_path: Path, anthropic_api: FakeAnthropic
) -> AsyncIterator[LiveRunner]:
    """A runner on the repository, with the real CLI in front of the imitation of its API."""
    async with live_runner(
        repository, tmp_path / "home", claude=claude_path, api=anthropic_api
    ) as live:
        yield live
