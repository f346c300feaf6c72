"""Where sessions are measured: a repository, the imitation of the API, runners, the bare CLI."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.bare_claude import BareClaude, bare_claude
from repobridge_runner.settings import AgentSettings
from tests.claude_home import install_claude
from tests.fakes.anthropic import FakeAnthropic, Text
from tests.live_runner import LiveRunner, live_runner
from tests.session.conftest import make_repository

_ANSWER = "An answer of one line.\n"


@dataclass(frozen=True, slots=True)
class Workplace:
    """What the sessions of one benchmark share."""

    directory: Path
    repository: Path
    claude: Path
    api: FakeAnthropic
    environment: Mapping[str, str]

    def runner(self, **settings: Any) -> AbstractAsyncContextManager[LiveRunner]:
        """A runner process on the repository; `settings` change its settings."""
        return live_runner(
            self.repository, self.directory / "r", claude=self.claude, api=self.api, **settings
        )

    def bare_claude(self, name: str = "bare") -> AbstractAsyncContextManager[BareClaude]:
        """The CLI in a bare PTY, with the environment that the runner's has, under a name."""
        home = self.directory / name
        environment = {**self.environment, "HOME": str(home)}
        agent = AgentSettings(executable=str(self.claude))
        return bare_claude(agent, directory=self.repository, home=home, environment=environment)


@asynccontextmanager
async def workplace(directory: Path, environment: Mapping[str, str]) -> AsyncIterator[Workplace]:
    """A workplace in an empty directory, whose API answers each prompt with one line."""
    repository = directory / "repository"
    make_repository(repository)
    claude = await asyncio.to_thread(install_claude)
    async with FakeAnthropic(handler=lambda _: Text(_ANSWER)) as api:
        told = {
            "PATH": environment["PATH"],
            "LANG": "C.UTF-8",
            "ANTHROPIC_API_KEY": api.key,
            "ANTHROPIC_BASE_URL": api.base_url,
        }
        yield Workplace(directory, repository, claude, api, told)
