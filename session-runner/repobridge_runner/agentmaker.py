"""How a runner makes agents: what each is given, where it keeps its own, what it can't open."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from repobridge import names
from repobridge_runner.agents.claude import ClaudeAgent
from repobridge_runner.agents.transcript import transcript_path
from repobridge_runner.commitidentity import offer_identity
from repobridge_runner.confinement import closed_to_agents
from repobridge_runner.hooks import HookServer
from repobridge_runner.oom import OomCounter, counter_files
from repobridge_runner.settings import RunnerSettings
from repobridge_runner.store import SessionRow

_HOOK_MARGIN_SECONDS = 600
"""A hook is held for longer than a request is open: the runner's answer is always the first."""


class AgentMaker:
    """Makes the agents of one runner."""

    def __init__(self, settings: RunnerSettings, *, environment: Mapping[str, str]) -> None:
        self.hooks = HookServer()
        self.oom = OomCounter(counter_files())
        self._settings = settings
        self._environment = environment
        self._closed = closed_to_agents(settings.state_dir, volume=settings.volume)
        self._identity: dict[str, str] = {}

    async def start(self) -> None:
        """Prepares what every agent is given."""
        agent = self._settings.agent
        # Before any agent: what appears here later is closed to those that run.
        self._identity = offer_identity(
            self._settings.state_dir / "gitconfig", name=agent.commit_name, email=agent.commit_email
        )
        await self.hooks.start()

    async def close(self) -> None:
        """Hears no agent any more."""
        await self.hooks.close()

    def make(self, conversation_id: str, *, git_environment: Mapping[str, str]) -> ClaudeAgent:
        """An agent that is not started yet."""
        agent = self._settings.agent
        given = {**git_environment, **self._identity, **agent.environment}
        return ClaudeAgent(
            replace(agent, environment=given),
            hooks=self.hooks,
            config_directory=self.config_directory(conversation_id),
            closed_directories=self._closed,
            own_environment=self._environment,
            held_seconds=int(self._settings.request_expiry_seconds) + _HOOK_MARGIN_SECONDS,
            clock=time.monotonic,
            oom=self.oom,
        )

    def config_directory(self, conversation_id: str) -> Path:
        """Where the agent of a conversation keeps its own configuration and transcripts."""
        return self._settings.state_dir / "agents" / names.slug(conversation_id)

    def transcript(self, row: SessionRow) -> Path:
        """The agent's own record of a session."""
        return transcript_path(
            self.config_directory(row.conversation_id),
            Path(row.working_dir or self._settings.directory),
            row.session_id,
        )
