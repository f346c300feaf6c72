"""What the local fleet needs to know to run runners."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from repobridge import durations
from repobridge.idle import IdlePolicy


@dataclass(frozen=True, kw_only=True)
class BridgeSpec:
    """One bridge that the fleet may run."""

    name: str
    provider: str
    llm: str
    working_dir: Path


@dataclass(frozen=True, kw_only=True)
class FleetSettings:
    """How runners are started, watched and ended."""

    command: tuple[str, ...]
    """The runner's program; `--config FILE` is added."""
    environment: Mapping[str, str]
    """The runners' own; what of it reaches an agent is for the runner to filter."""
    state_dir: Path
    socket_dir: Path
    """Private; holds the runners' sockets."""
    guard_root_pid: int
    """The process whose descendants may not use a runner's socket."""
    agent_executable: str = "claude"
    agent_resume: bool = True
    agent_environment_names: tuple[str, ...] = ()
    """Empty: the runner's own list."""
    idle_nanoseconds: int = 10 * durations.MINUTE
    max_awake_seconds: float = 24 * 3600.0
    start_seconds: float = 30.0
    """How long a runner may take until it answers."""
    shutdown_grace_seconds: float = 10.0
    poll_seconds: float = 10.0
    """The longest time between two looks at a busy runner."""
    retry_seconds: float = 0.25
    """The pause after a first crash; it doubles with each further one."""
    retry_cap_seconds: float = 10.0
    crashes_in_a_row: int = 5
    """After so many the bridge rests until the next message."""
    steady_seconds: float = 60.0
    """A runner that lived so long is not crashing in a row."""
    reaps_orphans: bool = False
    """True where this process is a subreaper with no children but runners."""
    counts: bool = False
    """Whether somebody reads what the runners count."""
    log_level: int = 20
    agent_extra: Mapping[str, object] = field(default_factory=dict)
    """Further fields of the runner's `agent` settings."""

    @property
    def idle_policy(self) -> IdlePolicy:
        """When a bridge may sleep."""
        return IdlePolicy(
            idle_seconds=durations.seconds(self.idle_nanoseconds),
            max_awake_seconds=self.max_awake_seconds,
        )
