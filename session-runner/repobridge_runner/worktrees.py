"""A git worktree and a branch for each conversation, beside the checkout that `main` works in.

What is there is kept: a worktree that lost its folder, its link or its entry is put together again
from what is left, and a folder that can't be is set aside, never deleted.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from repobridge import names
from repobridge.session.events import MAIN_CONVERSATION
from repobridge_runner.checkout import Checkout
from repobridge_runner.gitcommand import Git, GitError
from repobridge_runner.wholefile import write_whole
from repobridge_runner.workspaceerror import WorkspaceError

_MOST_BRANCHES = 20


@dataclass(frozen=True)
class Worktree:
    """Where a conversation works."""

    path: Path
    branch: str
    """Empty without git, and where the head is detached."""
    created: bool


@dataclass(frozen=True)
class WorktreeRecord:
    """What is remembered of a worktree while its folder may come and go."""

    conversation_id: str
    branch: str
    base: str
    """The commit at which it began."""


@dataclass(frozen=True)
class _Entry:
    """One worktree as git lists it."""

    path: str
    head: str = ""
    branch: str = ""


class Worktrees:
    """Makes and finds the worktrees of the checkout that `directory` is, or lies in."""

    def __init__(
        self, git: Git, *, directory: Path, root: Path, records: Path, within: Path | None = None
    ) -> None:
        """`root` holds the worktrees, and `records`, best out of the agent's reach, our notes.

        `within` is the highest folder that may be the checkout's top.
        """
        self._git = git
        self._records = records
        self._within = within
        self._directory = directory
        self._root = root
        self._one_at_a_time = asyncio.Lock()

    async def ensure(self, conversation_id: str, *, start_point: str = "") -> Worktree:
        """The conversation's worktree, made at the start point (or main's HEAD) where missing.

        `main`, and every conversation where there is no git or no commit: the directory itself.
        """
        checkout = self.checkout(self._directory)
        if checkout is None:
            return Worktree(self._directory, "", created=False)
        head = await checkout.commit("HEAD")
        if conversation_id == MAIN_CONVERSATION or not head:
            return Worktree(self._directory, await checkout.branch(), created=False)
        async with self._one_at_a_time:
            try:
                return await self._ensure(checkout, conversation_id, start_point or head)
            except (GitError, OSError) as error:
                reason = getattr(error, "last_line", "") or str(error)
                raise WorkspaceError(
                    "WorktreeFailed",
                    f"No worktree could be made for conversation {conversation_id}: {reason}",
                ) from error

    def checkout(self, path: Path) -> Checkout | None:
        """The checkout that a path lies in: main's, or a worktree; None where there is no git."""
        # Looked up each time: the agent may make a repository of the directory.
        if path.is_relative_to(self._root):
            top = self._root.joinpath(*path.relative_to(self._root).parts[:1])
            return Checkout.around(self._git, path, within=top)
        return Checkout.around(self._git, path, within=self._within)

    def record(self, path: Path) -> WorktreeRecord | None:
        """What is remembered of the worktree that a path lies in."""
        try:
            slug = path.relative_to(self._root).parts[0]
            raw = json.loads((self._records / f"{slug}.json").read_text(encoding="utf-8"))
            return WorktreeRecord(**raw)
        except (OSError, ValueError, IndexError, TypeError):
            return None

    async def _ensure(self, checkout: Checkout, conversation_id: str, start: str) -> Worktree:
        if self._root.is_symlink():
            raise GitError("worktree", None, f"{self._root} is a link, which is not followed")
        path = self._root / names.slug(conversation_id)
        entries = await _entries(checkout)
        known = next((each for each in entries if each.path == str(path)), None)
        if known and await self._is_whole(checkout, path):
            branch = await Checkout(checkout.git, path).branch()
            return Worktree(self._inside(checkout, path), branch, created=False)
        _set_aside(path)
        if known:
            await checkout.run("worktree", "remove", "--force", "--force", str(path), check=False)
        others = {each.branch for each in entries if each is not known}
        record = await self._add(checkout, path, known, start=start, taken=others)
        _write_record(self._records / f"{path.name}.json", WorktreeRecord(conversation_id, *record))
        return Worktree(self._inside(checkout, path), record[0], created=True)

    async def _is_whole(self, checkout: Checkout, path: Path) -> bool:
        if _lost_its_link(path):
            await checkout.run("worktree", "repair", str(path), check=False)
        return _is_linked(path) and bool(await Checkout(checkout.git, path).commit("HEAD"))

    async def _add(
        self, checkout: Checkout, path: Path, known: _Entry | None, *, start: str, taken: set[str]
    ) -> tuple[str, str]:
        """Adds the worktree; returns its branch and its base."""
        self._root.mkdir(parents=True, exist_ok=True)
        earlier = self.record(path)
        add = ("worktree", "add", "--quiet", "--force")
        off = await checkout.without_filters()
        if known and not known.branch and await checkout.commit(known.head):
            await checkout.run(*add, "--detach", str(path), known.head, config=off)
            return "", earlier.base if earlier else known.head
        wanted = (known and known.branch) or (earlier and earlier.branch) or ""
        branch, exists = await self._branch(checkout, path, wanted, taken)
        if exists:
            await checkout.run(*add, str(path), branch, config=off)
            return branch, (earlier and earlier.base) or await _fork_point(checkout, branch)
        base = await checkout.commit(start)
        if not base:
            raise GitError("worktree", None, f"there is no commit {start!r} to start from")
        await checkout.run(*add, "--no-track", "-b", branch, str(path), base, config=off)
        return branch, base

    async def _branch(
        self, checkout: Checkout, path: Path, wanted: str, taken: set[str]
    ) -> tuple[str, bool]:
        """A branch that nobody has checked out, and whether it is there already."""
        usual = f"{names.BRANCH_PREFIX}/{path.name}"
        if await checkout.commit(f"refs/heads/{names.BRANCH_PREFIX}"):
            # A branch of that very name leaves no room for others below it.
            usual = f"{names.BRANCH_PREFIX}-{path.name}"
        candidates = [wanted, usual, *(f"{usual}-{n}" for n in range(2, _MOST_BRANCHES))]
        for branch in candidates:
            if branch and not branch.startswith("-") and branch not in taken:
                return branch, bool(await checkout.commit(f"refs/heads/{branch}"))
        raise GitError("worktree", None, f"the branch {usual} is checked out elsewhere")

    def _inside(self, checkout: Checkout, path: Path) -> Path:
        """The same place in a worktree that the directory has in the checkout."""
        deeper = path / self._directory.relative_to(checkout.top)
        return deeper if deeper.is_dir() else path


async def _entries(checkout: Checkout) -> list[_Entry]:
    listed = await checkout.run("worktree", "list", "--porcelain", "-z")
    entries = []
    for block in listed.stdout.decode("utf-8", "surrogateescape").split("\0\0"):
        fields = dict(line.partition(" ")[::2] for line in block.strip("\0").split("\0"))
        if "worktree" in fields:
            branch = fields.get("branch", "").removeprefix("refs/heads/")
            entries.append(_Entry(fields["worktree"], fields.get("HEAD", ""), branch))
    return entries


async def _fork_point(checkout: Checkout, branch: str) -> str:
    found = await checkout.run("merge-base", "HEAD", f"refs/heads/{branch}", check=False)
    return found.text if found.code == 0 else await checkout.commit(f"refs/heads/{branch}")


def _is_linked(path: Path) -> bool:
    return not path.is_symlink() and (path / ".git").is_file()


def _lost_its_link(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and not (path / ".git").exists()


def _set_aside(path: Path) -> None:
    if not path.is_symlink() and not path.exists():
        return
    if path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
        path.rmdir()
        return
    number = 1
    while (aside := path.with_name(f"{path.name}.lost-{number}")).exists():
        number += 1
    path.rename(aside)


def _write_record(path: Path, record: WorktreeRecord) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_whole(path, json.dumps(asdict(record)))
