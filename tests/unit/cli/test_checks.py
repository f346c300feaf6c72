from __future__ import annotations

import os
import socket as sockets
from pathlib import Path

import pytest

from repobridge_cli.checks import (
    Finding,
    Level,
    check_claude,
    check_config,
    check_credentials,
    check_git,
    check_kernel,
    check_socket,
    check_state_dir,
)


def program(directory: Path, name: str, says: str) -> dict[str, str]:
    path = directory / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return {"PATH": f"{directory}:/usr/bin:/bin"}


@pytest.mark.parametrize(
    ("says", "level", "text"),
    [
        ("2.1.197 (Claude Code)", Level.OK, "2.1.197 at "),
        ("2.1.100 (Claude Code)", Level.FAILED, "RepoBridge needs 2.1.128 or later"),
        ("3.0.0 (Claude Code)", Level.WARNING, "which RepoBridge does not know"),
        ("hello", Level.FAILED, "does not tell its version"),
    ],
)
def test_the_claude_cli_has_to_be_of_a_version_that_can_be_trusted(
    tmp_path: Path, says: str, level: Level, text: str
) -> None:
    finding = check_claude("claude", program(tmp_path, "claude", says))
    assert (finding.level, text in finding.text) == (level, True), finding
    assert bool(finding.mend) is (level is not Level.OK)


def test_a_missing_claude_cli_says_how_to_install_it(tmp_path: Path) -> None:
    finding = check_claude("claude", {"PATH": str(tmp_path)})
    assert finding == Finding(
        Level.FAILED,
        "Claude CLI",
        'there is no program "claude"',
        "install it (npm install -g @anthropic-ai/claude-code) "
        "or set defaults.claude_path to where it is",
    )


def test_git_has_to_be_new_enough(tmp_path: Path) -> None:
    old = check_git(program(tmp_path, "git", "git version 2.20.1"))
    assert (old.level, "needs 2.31 or later" in old.text) == (Level.FAILED, True)
    assert check_git(program(tmp_path, "git", "git version 2.39.5")).level is Level.OK
    assert check_git({"PATH": str(tmp_path / "none")}).level is Level.FAILED


@pytest.mark.parametrize(
    ("environment", "level"),
    [
        ({}, Level.FAILED),
        ({"ANTHROPIC_API_KEY": ""}, Level.FAILED),
        ({"ANTHROPIC_API_KEY": "s3cret"}, Level.OK),
        ({"CLAUDE_CODE_OAUTH_TOKEN": "s3cret"}, Level.OK),
        ({"ANTHROPIC_BASE_URL": "https://ada:s3cret@proxy"}, Level.OK),
        ({"CLAUDE_CODE_USE_BEDROCK": "1"}, Level.OK),
    ],
)
def test_credentials_are_found_and_never_shown(environment: dict[str, str], level: Level) -> None:
    finding = check_credentials(environment)
    assert (finding.level, "s3cret" in repr(finding)) == (level, False)


def test_the_configuration_is_checked_whole(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    assert check_config({}, str(path))[1].mend == "write one; README.md shows how"
    path.write_text("repos: {a: {working_dir: /nowhere}}")
    broken = check_config({}, str(path))[1]
    assert (broken.level, f"{path}:1: repos.a.working_dir" in broken.text) == (Level.FAILED, True)
    path.write_text("repos: {}")
    assert check_config({}, str(path))[1].mend == "add a repo"
    path.write_text(f"repos: {{a: {{working_dir: {tmp_path}}}}}")
    loaded, finding = check_config({}, str(path))
    assert loaded is not None
    assert (finding.level, finding.text) == (Level.OK, f"{path}, 1 repos to serve")


def test_the_state_directory_has_to_be_ours_alone(tmp_path: Path) -> None:
    assert check_state_dir(tmp_path / "new/repobridge").level in {Level.OK, Level.WARNING}
    opened = tmp_path / "open"
    opened.mkdir(mode=0o755)
    assert check_state_dir(opened).mend == f"chmod 700 {opened}"


def test_the_socket_says_whether_serve_runs(tmp_path: Path) -> None:
    directory = tmp_path / "s"
    directory.mkdir(mode=0o700)
    path = directory / "serve.sock"
    assert check_socket(path).level is Level.INFO
    with sockets.socket(sockets.AF_UNIX) as listener:
        listener.bind(os.fspath(path))
        listener.listen()
        assert check_socket(path) == Finding(Level.OK, "socket", f"serve listens at {path}")
    directory.chmod(0o755)
    assert check_socket(path).mend == f"chmod 700 {directory}"
    assert check_socket(tmp_path / ("d" * 120)).level is Level.FAILED


def test_the_kernel_is_told_and_never_fails_the_check() -> None:
    findings = list(check_kernel())
    assert findings
    assert all(finding.level in {Level.INFO, Level.WARNING} for finding in findings)
