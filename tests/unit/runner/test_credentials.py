"""Git reaches a repository with the mounted credentials, and nobody ever sees them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from repobridge_runner import credential_helper
from repobridge_runner.credentials import credentials_for, secret_values
from repobridge_runner.repositoryurl import RepositoryAddress
from repobridge_runner.workspace import Workspace, WorkspaceError
from tests.fakes import githttp
from tests.unit.runner.gitcases import credentials_dir, environment, unheard, workspace

HTTPS = RepositoryAddress("https://git.example.org/x", "https", "git.example.org")
SSH = RepositoryAddress("git@git.example.org:x", "ssh", "git.example.org")


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    return githttp.make_repository(tmp_path / "served/shop", {"a": "1\n"})


def seen_processes() -> list[str]:
    """What anybody may see of the running processes: arguments, and for the owner environment."""
    seen = []
    for entry in Path("/proc").iterdir():
        for name in ("cmdline", "environ"):
            try:
                seen.append((entry / name).read_text(errors="replace"))
            except OSError:
                continue
    return seen


async def test_a_clone_shows_no_credentials_anywhere(origin: Path, tmp_path: Path) -> None:
    heard: list[str] = []
    seen: list[str] = []
    secret = credentials_dir(tmp_path / "secret")
    async with githttp.serve(origin.parent) as server:
        server.gate.clear()
        work = workspace(tmp_path, repository_url=f"{server.url}/shop/.git", credentials_dir=secret)
        task = asyncio.create_task(work.prepare(lambda _, detail: heard.append(detail)))
        while not server.packing.is_set():
            # Before the gate the helper runs: look as often as one can.
            seen += await asyncio.to_thread(seen_processes)
        seen += await asyncio.to_thread(seen_processes)
        server.gate.set()
        await task
    assert server.refused > 0
    assert any("git-remote-http" in line and server.url in line for line in seen)
    assert not [line for line in seen if githttp.PASSWORD in line]
    for path in (tmp_path / "workspace/.git").rglob("*"):
        assert not path.is_file() or githttp.PASSWORD.encode() not in path.read_bytes()
    assert githttp.PASSWORD not in "".join(heard)
    assert server.url in (tmp_path / "workspace/.git/config").read_text()
    work.close()


async def prepared(origin: Path, tmp_path: Path, server: githttp.GitServer) -> Workspace:
    work = workspace(
        tmp_path,
        repository_url=f"{server.url}/shop/.git",
        credentials_dir=credentials_dir(tmp_path / "secret"),
    )
    await work.prepare(unheard)
    return work


async def test_the_agents_own_git_can_push_and_fetch(origin: Path, tmp_path: Path) -> None:
    async with githttp.serve(origin.parent) as server:
        work = await prepared(origin, tmp_path, server)
        made = await work.worktree("123")
        commit = githttp.commit(made.path, {"b": "2\n"})
        variables = {**work.git_environment(), "HOME": str(tmp_path / "home")}
        await asyncio.to_thread(
            githttp.git, made.path, "push", "--quiet", "origin", "HEAD", **variables
        )
        await asyncio.to_thread(githttp.git, made.path, "fetch", "--quiet", **variables)
        work.close()
    assert githttp.git(origin, "rev-parse", "repobridge/123") == commit
    assert githttp.PASSWORD not in str(variables)


async def test_another_host_gets_no_credentials(origin: Path, tmp_path: Path) -> None:
    async with githttp.serve(origin.parent) as server, githttp.serve(origin.parent) as other:
        work = await prepared(origin, tmp_path, server)
        variables = {**work.git_environment(), "HOME": str(tmp_path / "home")}
        with pytest.raises(subprocess.CalledProcessError) as caught:
            await asyncio.to_thread(
                githttp.git, tmp_path, "ls-remote", f"{other.url}/shop/.git", **variables
            )
        assert "could not read Username" in caught.value.stderr
        assert not other.packing.is_set()
        work.close()


async def test_rotated_credentials_are_used_at_once(origin: Path, tmp_path: Path) -> None:
    async with githttp.serve(origin.parent) as server:
        work = await prepared(origin, tmp_path, server)
        work.close()
        server.password = "another"
        assert (await work.prepare(unheard)).warning
        work.close()
        (tmp_path / "secret/password").write_text("another\n")
        assert (await work.prepare(unheard)).warning == ""
        work.close()


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("protocol=https\nhost=git.example.org\npath=x\n", "username=ann\npassword=a=b c\n"),
        ("protocol=https\nhost=GIT.example.org\n", "username=ann\npassword=a=b c\n"),
        ("protocol=http\nhost=git.example.org\n", ""),
        ("protocol=https\nhost=git.example.org:8443\n", ""),
        ("protocol=https\nhost=evil.example.org\n", ""),
        ("", ""),
    ],
)
def test_the_helper_answers_for_its_host_only(tmp_path: Path, question: str, answer: str) -> None:
    secret = credentials_dir(tmp_path / "s", username="ann\n", password="a=b c\r\n")
    assert (
        credential_helper.answer(
            Path(secret), protocol="https", host="git.example.org", question=question
        )
        == answer
    )


@pytest.mark.parametrize("operation", ["store", "erase"])
def test_the_helper_keeps_and_forgets_nothing(tmp_path: Path, operation: str) -> None:
    words = [sys.executable, "-I", "-S", credential_helper.__file__]
    done = subprocess.run(
        [*words, str(tmp_path), "https", "h", operation], input=b"", capture_output=True, check=True
    )
    assert (done.stdout, done.stderr) == (b"", b"")


def test_a_token_without_a_name_gets_the_usual_one(tmp_path: Path) -> None:
    secret = credentials_dir(tmp_path / "s", password="t")
    assert (
        credential_helper.answer(
            Path(secret), protocol="https", host="h", question="protocol=https\nhost=h\n"
        )
        == "username=x-access-token\npassword=t\n"
    )


@pytest.mark.parametrize(
    ("address", "files", "sentence"),
    [
        (HTTPS, {"username": "x"}, "no file password; the Secret must be of type basic-auth"),
        (HTTPS, {"password": " \n"}, "is empty"),
        (HTTPS, {"ssh_privatekey": "k"}, "must be of type basic-auth"),
        (SSH, {"password": "x"}, "must be of type ssh-auth"),
        (SSH, {"ssh_privatekey": "k"}, "ssh-keyscan"),
        (SSH, {"ssh_privatekey": "k", "known_hosts": "h"}, "set its mode to 0400"),
    ],
)
def test_missing_credentials_are_named(
    tmp_path: Path, address: RepositoryAddress, files: dict[str, str], sentence: str
) -> None:
    secret = credentials_dir(tmp_path / "s")
    for file in Path(secret).iterdir():
        file.unlink()
    for name, content in files.items():
        (Path(secret) / (name if name == "known_hosts" else name.replace("_", "-"))).write_text(
            content
        )
    with pytest.raises(WorkspaceError) as caught:
        credentials_for(address, secret)
    assert caught.value.reason == "CredentialsMissing"
    assert sentence in caught.value.sentence


def test_a_key_goes_to_ssh_by_its_path(tmp_path: Path) -> None:
    secret = tmp_path / "with blank"
    secret.mkdir()
    (secret / "ssh-privatekey").write_text("KEY")
    (secret / "ssh-privatekey").chmod(0o400)
    (secret / "known_hosts").write_text("git.example.org ssh-ed25519 AAAA")
    found = credentials_for(SSH, str(secret))
    command = dict(found.variables)["GIT_SSH_COMMAND"]
    shown = subprocess.run(
        f"{command} -G git@git.example.org", shell=True, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert f"identityfile {secret}/ssh-privatekey" in shown
    assert f"userknownhostsfile {secret}/known_hosts" in shown
    assert "stricthostkeychecking true" in shown
    assert "batchmode yes" in shown
    assert found.config == ()
    assert secret_values(str(secret)) == ["KEY"]


def test_without_a_key_ssh_still_reads_no_configuration_of_the_homes() -> None:
    assert credentials_for(SSH, "").variables == (
        (
            "GIT_SSH_COMMAND",
            "ssh -F /dev/null -oBatchMode=yes -oConnectTimeout=30 -oServerAliveInterval=15",
        ),
    )


async def test_a_persons_own_helpers_are_not_asked(origin: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(f'[credential]\n helper = "!touch {tmp_path}/asked; true"\n')
    assert environment(home)["HOME"] == str(home)
    async with githttp.serve(origin.parent) as server:
        work = workspace(tmp_path, repository_url=f"{server.url}/shop/.git")
        with pytest.raises(WorkspaceError):
            await work.prepare(unheard)
    assert not (tmp_path / "asked").exists()
