"""The pinned Claude CLI for tests and benchmarks: its path, and a home and environment for it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.fakes.anthropic import FakeAnthropic

ROOT = Path(__file__).parent.parent
# CLAUDE_CODE_SUBPROCESS_ENV_SCRUB is left out: with it the CLI does not start without bubblewrap.
_QUIET = (
    "DISABLE_AUTOUPDATER",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
    "DISABLE_TELEMETRY",
    "DISABLE_ERROR_REPORTING",
    "CLAUDE_CODE_DISABLE_FEEDBACK_SURVEY",
    "CLAUDE_CODE_DISABLE_TERMINAL_TITLE",
)


def install_claude() -> Path:
    """The path of the pinned CLI, installed into the cache when it is not there yet."""
    found = subprocess.run(
        [ROOT / "scripts/install-claude"], check=True, stdout=subprocess.PIPE, text=True
    )
    return Path(found.stdout.strip())


def make_claude_env(
    home: Path, api: FakeAnthropic, *, trusted: Iterable[Path] = (), **extra: str
) -> dict[str, str]:
    """A built environment for the CLI, after seeding `.claude.json` in its home.

    No first-run dialog shows, nor a trust dialog in the folders named; what the CLI itself wrote
    into that file before stays.
    """
    seed(home, key=api.key, trusted=trusted)
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


def seed(home: Path, *, key: str, trusted: Iterable[Path]) -> None:
    """Write `.claude.json` as a person's first answers would have left it."""
    home.mkdir(parents=True, exist_ok=True)
    path = home / ".claude.json"
    known: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    projects: dict[str, Any] = known.setdefault("projects", {})
    for folder in trusted:
        projects.setdefault(str(folder), {})["hasTrustDialogAccepted"] = True
    known |= {
        "hasCompletedOnboarding": True,
        "theme": "dark",
        "customApiKeyResponses": {"approved": [key[-20:]], "rejected": []},
    }
    path.write_text(json.dumps(known))
