"""Commits in a pod have an author, and everybody who names another one wins."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from repobridge_runner.commitidentity import offer_identity
from tests.fakes import githttp

NAME, EMAIL = "RepoBridge payments", "payments@acme.repobridge.invalid"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return githttp.make_repository(tmp_path / "shop", {"a": "1\n"})


def commit(checkout: Path, home: Path, **variables: str) -> str:
    """Commits as an agent does; the author and the committer."""
    environment = {"PATH": githttp.ENVIRONMENT["PATH"], "HOME": str(home), **variables}
    home.mkdir(exist_ok=True)
    subprocess.run(
        ["git", "commit", "--quiet", "--allow-empty", "-m", "change"],
        cwd=checkout,
        env=environment,
        check=True,
        capture_output=True,
    )
    return githttp.git(checkout, "log", "-1", "--format=%an <%ae> %cn <%ce>")


def offered(tmp_path: Path, name: str = NAME) -> dict[str, str]:
    return offer_identity(tmp_path / "gitconfig", name=name, email=EMAIL)


@pytest.mark.parametrize("name", [NAME, 'a "b" \\ c; #d'])
def test_a_commit_is_the_bridges_where_nobody_is_named(
    checkout: Path, tmp_path: Path, name: str
) -> None:
    who = f"{name} <{EMAIL}>"
    assert commit(checkout, tmp_path / "home", **offered(tmp_path, name)) == f"{who} {who}"


def test_the_repository_the_home_and_a_variable_win(checkout: Path, tmp_path: Path) -> None:
    home, variables = tmp_path / "home", offered(tmp_path)
    home.mkdir()
    (home / ".gitconfig").write_text("[user]\n\tname = Home\n")
    who = f"Home <{EMAIL}>"
    assert commit(checkout, home, **variables) == f"{who} {who}"
    githttp.git(checkout, "config", "user.name", "Repository")
    who = f"Repository <{EMAIL}>"
    assert commit(checkout, home, **variables) == f"{who} {who}"
    given = commit(checkout, home, **variables, GIT_AUTHOR_NAME="Ann")
    assert given == f"Ann <{EMAIL}> {who}"


def test_nothing_is_offered_without_both_or_where_it_can_not_be_written(tmp_path: Path) -> None:
    assert offer_identity(tmp_path / "gitconfig", name="", email=EMAIL) == {}
    assert offer_identity(tmp_path / "gitconfig", name=NAME, email="") == {}
    assert list(tmp_path.iterdir()) == []
    assert offer_identity(tmp_path / "missing/gitconfig", name=NAME, email=EMAIL) == {}


def test_what_stands_already_is_not_written_again(tmp_path: Path) -> None:
    """So that a volume that is full by now costs no commit its author."""
    variables = offered(tmp_path)
    before = (tmp_path / "gitconfig").stat()
    assert offered(tmp_path) == variables == {"GIT_CONFIG_SYSTEM": str(tmp_path / "gitconfig")}
    assert (tmp_path / "gitconfig").stat().st_ino == before.st_ino
