"""What a working tree differs in: its state in a line, and the whole difference as a patch.

Untracked files are part of the difference. They are noted in a copy of the index, so that the
agent's own stays as it is, and no content is copied into the repository for the asking.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from repobridge.session.events import WorkspaceChanged
from repobridge_runner.checkout import Checkout

DIFF_BYTES = 16 << 20
"""A longer patch is cut; the counts are still of the whole."""


@dataclass(frozen=True)
class DiffResult:
    """The difference between a working tree and a commit."""

    unified: str = ""
    files: int = 0
    insertions: int = 0
    deletions: int = 0
    branch: str = ""
    cut: bool = False
    """True when the patch is longer than what is here."""


async def status(checkout: Checkout, *, main_head: str) -> WorkspaceChanged:
    """Where a working tree stands; without an upstream it is compared with main's head."""
    found = await checkout.run(
        "status", "--porcelain=v2", "--branch", "--untracked-files=normal",
        "--ignore-submodules=dirty",
        config=await checkout.without_filters(),
        output_bytes=64 << 10,
    )  # fmt: skip
    lines = found.text.splitlines()
    headers = dict(line[2:].split(" ", 1) for line in lines if line.startswith("# "))
    head = headers.get("branch.oid", "").replace("(initial)", "")
    branch = headers.get("branch.head", "").replace("(detached)", "")
    if "branch.ab" in headers:
        ahead, behind = (abs(int(count)) for count in headers["branch.ab"].split())
    else:
        ahead, behind = await _distance(checkout, head, main_head)
    dirty = any(not line.startswith("# ") for line in lines)
    return WorkspaceChanged(branch=branch, head=head, dirty=dirty, ahead=ahead, behind=behind)


async def diff(checkout: Checkout, base: str, *, scratch: Path) -> DiffResult:
    """The difference between a commit and the working tree, untracked files included.

    `scratch` is a directory for the copy of the index. An unknown base is the empty tree.
    """
    since = await checkout.commit(base or "HEAD") or await _empty_tree(checkout)
    off = (*await checkout.without_filters(), ("core.splitIndex", "false"))
    with tempfile.TemporaryDirectory(dir=scratch, prefix="diff-") as folder:
        index = await _copy_index(checkout, Path(folder) / "index")
        variables = {"GIT_INDEX_FILE": str(index)}
        await checkout.run(
            "add", "--intent-to-add", "--ignore-errors", "--", ":/",
            check=False, config=off, variables=variables,
        )  # fmt: skip
        arguments = (
            "--no-ext-diff", "--no-textconv", "--no-color", "--ignore-submodules=dirty",
            "--find-renames", "--src-prefix=a/", "--dst-prefix=b/",
        )  # fmt: skip
        counts = await checkout.run(
            "diff", "--numstat", "-z", *arguments, since,
            config=off, variables=variables, output_bytes=DIFF_BYTES,
        )  # fmt: skip
        patch = await checkout.run(
            "diff", "--patch", *arguments, since,
            config=off, variables=variables, output_bytes=DIFF_BYTES,
        )  # fmt: skip
    files, insertions, deletions = _count(counts.stdout)
    return DiffResult(
        patch.stdout.decode("utf-8", "replace"),
        files, insertions, deletions,
        await checkout.branch(),
        patch.cut,
    )  # fmt: skip


async def _empty_tree(checkout: Checkout) -> str:
    return (await checkout.run("hash-object", "-t", "tree", "/dev/null")).text


async def _distance(checkout: Checkout, head: str, main_head: str) -> tuple[int, int]:
    if not head or not main_head or head == main_head:
        return 0, 0
    found = await checkout.run(
        "rev-list", "--left-right", "--count", f"{head}...{main_head}", check=False
    )
    counts = found.text.split()
    return (int(counts[0]), int(counts[1])) if len(counts) == 2 else (0, 0)


async def _copy_index(checkout: Checkout, to: Path) -> Path:
    found = await checkout.run("rev-parse", "--path-format=absolute", "--git-path", "index")
    with suppress(FileNotFoundError):
        # With its time: git trusts an entry only where its file is older than the index.
        await asyncio.to_thread(shutil.copy2, found.text, to)
    return to


def _count(numstat: bytes) -> tuple[int, int, int]:
    """Counts `<added> TAB <deleted> TAB <path>`; a rename's two paths follow as own fields."""
    files = insertions = deletions = 0
    for field in numstat.split(b"\0"):
        added, _, rest = field.partition(b"\t")
        deleted, tab, _ = rest.partition(b"\t")
        if not tab or not (added.isdigit() or added == b"-"):
            continue
        files += 1
        insertions += int(added) if added.isdigit() else 0
        deletions += int(deleted) if deleted.isdigit() else 0
    return files, insertions, deletions
