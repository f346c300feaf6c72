"""Fixtures that every test may use: the pinned Claude CLI, and the API that it talks to."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.fakes.anthropic import FakeAnthropic

ROOT = Path(__file__).parent.parent
ClaudeEnv: TypeAlias = Callable[..., dict[str, str]]

_QUIET = (
    "DISABLE_AUTOUPDATER",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
    "DISABLE_TELEMETRY",
    "DISABLE_ERROR_REPORTING",
    "CLAUDE_CODE_DISABLE_FEEDBACK_SURVEY",
    "CLAUDE_CODE_DISABLE_TERMINAL_TITLE",
)


@pytest.fixture(scope="session")
def claude_path() -> Path:
    """The pinned Claude CLI, installed into the cache when it is not there yet."""
    found = subprocess.run(
        [ROOT / "scripts/install-claude"], check=True, stdout=subprocess.PIPE, text=True
    )
    return Path(found.stdout.strip())


@pytest.fixture
async def anthropic_api() -> AsyncIterator[FakeAnthropic]:
    """A fresh imitation of the API that echoes until it is scripted."""
    async with FakeAnthropic() as api:
        yield api


@pytest.fixture
def claude_env() -> ClaudeEnv:
    """`make_claude_env` as a fixture: `claude_env(home, api, trusted=[...], **extra)`."""
    return make_claude_env


def make_claude_env(
    home: Path, api: FakeAnthropic, *, trusted: Iterable[Path] = (), **extra: str
) -> dict[str, str]:
    """A built environment for the CLI, after seeding `.claude.json` in its home.

    No first-run dialog shows in the folders named as trusted.
    """
    home.mkdir(parents=True, exist_ok=True)
    (home / ".claude.json").write_text(
        json.dumps(
            {
                "hasCompletedOnboarding": True,
                "theme": "dark",
                "customApiKeyResponses": {"approved": [api.key[-20:]], "rejected": []},
                "projects": {str(path): {"hasTrustDialogAccepted": True} for path in trusted},
            }
        )
    )
    return {
        "HOME": str(home),
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
        "ANTHROPIC_API_KEY": api.key,
        "ANTHROPIC_BASE_URL": api.base_url,
        **dict.fromkeys(_QUIET, "1"),
        **extra,
    }
