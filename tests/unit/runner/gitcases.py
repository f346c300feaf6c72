"""What the tests of the workspace share: settings, credentials, an environment, a recorder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from repobridge.session.events import Phase
from repobridge_runner.workspace import Workspace, WorkspaceSettings
from tests.fakes import githttp

BRIDGE = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"


def environment(home: Path) -> dict[str, str]:
    """The runner's environment, as hostile as a person's may be."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "GIT_DIR": "/nonexistent",
        "GIT_TRACE_CURL": "1",
        "GIT_EXTERNAL_DIFF": "false",
    }


def credentials_dir(path: Path, **files: str) -> str:
    """A mounted Secret of type basic-auth."""
    path.mkdir()
    for name, content in (files or {"username": githttp.USERNAME, "password": "?"}).items():
        value = githttp.PASSWORD if content == "?" else content
        (path / name.replace("_", "-")).write_text(value)
    return str(path)


def settings(tmp_path: Path, **changes: Any) -> WorkspaceSettings:
    """Settings below a folder of the test's own."""
    values: dict[str, Any] = {
        "directory": tmp_path / "workspace",
        "state_dir": tmp_path / "state",
        "bridge_uid": BRIDGE,
        "protocols": ("http", "file"),
        **changes,
    }
    return WorkspaceSettings(**values)


def workspace(tmp_path: Path, **changes: Any) -> Workspace:
    """A workspace below a folder of the test's own."""
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    return Workspace(settings(tmp_path, **changes), environment=environment(home))


def unheard(_phase: Phase, _detail: str) -> None:
    """Progress that nobody watches."""
