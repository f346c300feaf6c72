"""The workspace of a bridge: the checkout, who it belongs to, and the conversations' worktrees.

With a repository's URL the directory is ours to fill; without one (local mode) it is a person's,
and nothing of ours is left in it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from repobridge.paths import WorkingDirError, resolve_working_dir
from repobridge.session.events import WorkspaceChanged
from repobridge_runner import changes, clone, credentials, repositoryurl
from repobridge_runner.blobs import open_regular
from repobridge_runner.changes import DiffResult
from repobridge_runner.checkout import Checkout
from repobridge_runner.credentials import Credentials
from repobridge_runner.gitcommand import Git, GitError, configuration, make_environment
from repobridge_runner.gitprogress import Progress
from repobridge_runner.redact import Redactor
from repobridge_runner.wholefile import write_whole
from repobridge_runner.workspaceerror import WorkspaceError
from repobridge_runner.workspacelock import WorkspaceLock
from repobridge_runner.worktrees import Worktree, Worktrees

__all__ = [
    "DiffResult",
    "Prepared",
    "Workspace",
    "WorkspaceError",
    "WorkspaceSettings",
    "Worktree",
]

_MOST_IDENTITY_BYTES = 64 << 10


@dataclass(frozen=True, kw_only=True)
class WorkspaceSettings:
    """Which workspace it is, and where."""

    directory: Path
    """The checkout, or where it will be."""
    state_dir: Path
    """Holds our notes; best out of the agent's reach."""
    worktrees_dir: Path | None = None
    """Holds the conversations' worktrees; unset: `worktrees` in the state directory."""
    bridge_uid: str
    repository_url: str = ""
    """Empty: the directory is used as it is."""
    ref: str = ""
    """A branch, tag or commit; empty: the repository's default branch."""
    credentials_dir: str = ""
    """A mounted Secret of type basic-auth or ssh-auth; empty: none."""
    allowed_roots: tuple[Path, ...] = ()
    """Where the directory may be; empty: anywhere."""
    protocols: tuple[str, ...] = repositoryurl.PROTOCOLS
    """Which protocols a URL may have, and git may speak."""


@dataclass(frozen=True)
class Prepared:
    """What preparing the workspace came to."""

    cloned: bool = False
    warning: str = ""
    """Why nothing new could be fetched; the checkout is usable as it is."""


class Workspace:
    """One bridge's workspace, locked from `prepare` to `close`."""

    def __init__(
        self,
        settings: WorkspaceSettings,
        *,
        environment: Mapping[str, str],
        redactor: Redactor | None = None,
    ) -> None:
        """`environment` is the runner's own; git gets from it what it needs."""
        self._settings = settings
        self._environment = environment
        self._redactor = redactor
        self._lock: WorkspaceLock | None = None
        self._directory = settings.directory
        self._credentials = Credentials()
        self._git = self._make_git()
        self._worktrees = self._find_worktrees()

    @property
    def directory(self) -> Path:
        """The real path of the checkout, once it is prepared."""
        return self._directory

    async def prepare(self, progress: Progress) -> Prepared:
        """Locks the workspace and brings the repository into it; raises WorkspaceError."""
        settings = self._settings
        try:
            settings.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._directory = self._resolve()
            self._lock = self._lock or WorkspaceLock.take(self._directory)
            self._claim(settings.state_dir / "workspace.json")
            prepared = Prepared()
            if settings.repository_url:
                prepared = await self._bring_repository(progress)
            self._worktrees = self._find_worktrees()
            return prepared
        except BaseException as error:
            self.close()
            if isinstance(error, GitError | OSError):
                raise clone.explain(error, credentials_dir=settings.credentials_dir) from error
            raise

    def close(self) -> None:
        """Lets another runner have the workspace."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    async def worktree(self, conversation_id: str, *, start_point: str = "") -> Worktree:
        """Where a conversation works; idempotent. `start_point` is where a new one begins."""
        return await self._worktrees.ensure(conversation_id, start_point=start_point)

    async def status(self, path: Path) -> WorkspaceChanged:
        """Where a working tree stands; empty where there is no git. Raises GitError."""
        checkout = self._worktrees.checkout(path)
        main = self._worktrees.checkout(self._directory)
        if checkout is None or main is None:
            return WorkspaceChanged()
        return await changes.status(checkout, main_head=await main.commit("HEAD"))

    async def diff(self, path: Path, base: str = "") -> DiffResult:
        """What a working tree differs in from `base`, or from where it began. Raises GitError."""
        checkout = self._worktrees.checkout(path)
        if checkout is None:
            return DiffResult()
        record = self._worktrees.record(path)
        since = base or (record.base if record else "HEAD")
        return await changes.diff(checkout, since, scratch=self._settings.state_dir)

    def git_environment(self) -> dict[str, str]:
        """The variables with which the agent's own git reaches the repository as ours does."""
        # The agent looks at the checkout as soon as it starts, and nobody approved this program.
        pairs = [("core.fsmonitor", "false")]
        if not self._settings.repository_url:
            return configuration(pairs)
        pairs += [*self._credentials.config, *self._trusted()]
        return {
            "GIT_TERMINAL_PROMPT": "0",
            **configuration(pairs),
            **dict(self._credentials.variables),
        }

    def _find_worktrees(self) -> Worktrees:
        state_dir = self._settings.state_dir.resolve()
        root = self._settings.worktrees_dir or state_dir / "worktrees"
        return Worktrees(
            self._git,
            directory=self._directory,
            root=root.parent.resolve() / root.name,
            records=state_dir / "worktree-records",
            within=self._directory if self._settings.repository_url else None,
        )

    def _make_git(self) -> Git:
        # Where the checkout is ours, the agent has our home: it could name programs in there.
        nobodys = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}
        ours = nobodys if self._settings.repository_url else {}
        return Git(
            make_environment(
                self._environment,
                protocols=self._settings.protocols,
                extra={**ours, **dict(self._credentials.variables)},
            ),
            config=[*self._credentials.config, *self._trusted()],
            redactor=self._redactor,
        )

    def _trusted(self) -> list[tuple[str, str]]:
        # The root of a volume belongs to root, which git would call a dubious ownership.
        return [("safe.directory", "*")] if self._settings.repository_url else []

    def _resolve(self) -> Path:
        settings = self._settings
        if settings.repository_url:
            settings.directory.mkdir(parents=True, exist_ok=True)
        try:
            return resolve_working_dir(settings.directory, settings.allowed_roots)
        except WorkingDirError as error:
            raise WorkspaceError("WorkingDirRefused", error.message) from error

    async def _bring_repository(self, progress: Progress) -> Prepared:
        settings = self._settings
        address = repositoryurl.parse(settings.repository_url, settings.protocols)
        self._credentials = credentials.credentials_for(address, settings.credentials_dir)
        self._git = self._make_git()
        git_dir = self._directory / ".git"
        if not git_dir.exists():
            # Only then: beside a checkout the agent may have laid out what looks like a clone.
            await asyncio.to_thread(clone.recover, self._directory)
        if git_dir.is_dir():
            await self._claim_checkout(git_dir)
            return await self._fetch(progress)
        if not clone.is_vacant(self._directory):
            raise _foreign(f"{self._directory} is neither empty nor a checkout of the repository")
        await clone.clone(
            self._git, address, settings.ref, self._directory,
            progress=progress, sign=lambda new: self._claim(new / "repobridge.json"),
        )  # fmt: skip
        return Prepared(cloned=True)

    async def _fetch(self, progress: Progress) -> Prepared:
        try:
            await clone.fetch(self._git, self._directory, progress=progress)
        except GitError as error:
            return Prepared(warning=f"Nothing new could be fetched: {error.last_line}")
        return Prepared()

    async def _claim_checkout(self, git_dir: Path) -> None:
        """Signs a checkout that somebody put there, if it is of this repository."""
        identity = git_dir / "repobridge.json"
        if not identity.exists():
            found = await Checkout(self._git, self._directory).run(
                "config", "--get", "remote.origin.url", check=False
            )
            if found.text != self._settings.repository_url:
                raise _foreign(f"{self._directory} is a checkout of another repository")
        self._claim(identity)

    def _claim(self, path: Path) -> None:
        """Says in a file whose workspace this is, or finds there that it is somebody else's."""
        ours = {
            "bridge_uid": self._settings.bridge_uid,
            "repository_url": self._settings.repository_url,
        }
        try:
            with open_regular(path) as file:
                found = json.loads(file.read(_MOST_IDENTITY_BYTES))
        except FileNotFoundError:
            write_whole(path, json.dumps(ours))
            return
        except (OSError, ValueError):
            raise _foreign(f"{path} can't be read as ours") from None
        if found != ours:
            owner = found.get("bridge_uid") if isinstance(found, dict) else None
            same = owner == ours["bridge_uid"]
            what = "holds another repository" if same else f"belongs to the bridge {owner}"
            raise _foreign(f"{path.parent} {what}")


def _foreign(what: str) -> WorkspaceError:
    return WorkspaceError(
        "WorkspaceForeign",
        f"{what}; nothing in it was touched. Give this bridge an empty workspace, or empty it.",
    )
