"""Brings a repository into a directory, so that a kill between any two steps loses nothing.

A clone is made under a name of its own inside the directory (which may be a mount point, so it
can't be replaced), gets another name when it is complete, and then moves up entry by entry, `.git`
last. Whatever was complete goes on at the next start; whatever was not is removed.
"""

from __future__ import annotations

import errno
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from repobridge.session.events import Phase
from repobridge_runner.checkout import Checkout
from repobridge_runner.gitcommand import Git, GitError
from repobridge_runner.gitprogress import Progress, ProgressLines
from repobridge_runner.repositoryurl import RepositoryAddress
from repobridge_runner.workspaceerror import WorkspaceError

_PARTIAL = ".repobridge-clone-"
_COMPLETE = ".repobridge-cloned"
_NOT_OURS_TO_MIND = {"lost+found"}
_DEADLINE_SECONDS = 3600.0
_ASKS_FOR_CREDENTIALS = re.compile(
    r"could not read (Username|Password)|Authentication failed|Permission denied \(publickey"
    r"|returned error: (401|403)"
)


def is_vacant(directory: Path) -> bool:
    """True when nothing is in the directory but what an earlier start of ours left."""
    return all(
        entry.name in _NOT_OURS_TO_MIND
        or entry.name == _COMPLETE
        or entry.name.startswith(_PARTIAL)
        for entry in directory.iterdir()
    )


def recover(directory: Path) -> None:
    """Ends what an interrupted clone began: goes on with a complete one, removes the others."""
    for partial in directory.glob(f"{_PARTIAL}*"):
        shutil.rmtree(partial, ignore_errors=True)
    complete = directory / _COMPLETE
    if complete.is_dir():
        _move_up(complete, directory)


async def clone(
    git: Git,
    address: RepositoryAddress,
    ref: str,
    directory: Path,
    *,
    progress: Progress,
    sign: Callable[[Path], None],
) -> None:
    """Clones into a vacant directory; `sign` marks the git directory before it is complete."""
    lines = ProgressLines(Phase.CLONING, progress)
    progress(Phase.CLONING, f"Connecting to {address.host or address.protocol}")
    partial = _make_partial(directory)
    try:
        await git.run(
            "clone", "--no-checkout", "--filter=blob:none", "--progress", "--template=",
            "--origin=origin", "--", address.url, str(partial),
            directory=directory, on_line=lines, deadline_seconds=_DEADLINE_SECONDS,
        )  # fmt: skip
        await _check_out(git, partial, ref, lines)
        sign(partial / ".git")
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    _complete(partial, directory)


async def fetch(git: Git, directory: Path, *, progress: Progress) -> None:
    """Fetches what is new into an existing checkout; touches no branch and no file."""
    progress(Phase.FETCHING, "Looking for new commits")
    await git.run(
        "fetch", "--progress", "--no-recurse-submodules", "--upload-pack=git-upload-pack", "origin",
        directory=directory,
        variables=Checkout(git, directory).variables,
        on_line=ProgressLines(Phase.FETCHING, progress),
        deadline_seconds=_DEADLINE_SECONDS,
    )  # fmt: skip


def explain(error: GitError | OSError, *, credentials_dir: str) -> WorkspaceError:
    """The failure of a clone under its own name."""
    if isinstance(error, OSError):
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        last_line = error.strerror or str(error)
    else:
        full, last_line = error.disk_full, error.last_line
    if full:
        return WorkspaceError(
            "WorkspaceFull", "The workspace's volume is full; enlarge it, or free some space."
        )
    if _ASKS_FOR_CREDENTIALS.search(last_line) and not credentials_dir:
        return WorkspaceError(
            "CredentialsMissing",
            "The server asks for credentials, and none are configured for the repository"
            f" ({last_line}).",
        )
    return WorkspaceError("CloneFailed", f"The repository could not be cloned: {last_line}")


async def _check_out(git: Git, directory: Path, ref: str, lines: ProgressLines) -> None:
    checkout = Checkout(git, directory)
    target: list[str] = []
    if ref:
        target = await _target(checkout, ref)
    elif not await checkout.commit("HEAD"):
        return
    await git.run(
        "checkout", "--force", "--progress", *target,
        directory=directory, variables=checkout.variables, on_line=lines,
        deadline_seconds=_DEADLINE_SECONDS,
    )  # fmt: skip


async def _target(checkout: Checkout, ref: str) -> list[str]:
    branch = ref.removeprefix("refs/heads/")
    remote = f"refs/remotes/origin/{branch}"
    if await checkout.commit(remote):
        return ["-B", branch, "--track", remote]
    tag = f"refs/tags/{ref.removeprefix('refs/tags/')}"
    names = [tag, ref] if re.fullmatch("[0-9a-f]{7,64}", ref) else [tag]
    for name in names:
        if commit := await checkout.commit(name):
            return ["--detach", commit]
    raise WorkspaceError("CloneFailed", f"The repository has no branch, tag or commit {ref!r}.")


def _make_partial(directory: Path) -> Path:
    partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=directory))
    partial.chmod(0o755)
    return partial


def _complete(partial: Path, directory: Path) -> None:
    _move_up(partial.rename(directory / _COMPLETE), directory)


def _move_up(complete: Path, directory: Path) -> None:
    names = sorted((entry.name for entry in complete.iterdir()), key=lambda name: name == ".git")
    for name in names:
        (complete / name).rename(directory / name)
    complete.rmdir()
