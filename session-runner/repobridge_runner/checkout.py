"""A checkout on disk, and which git directory it has, found without asking git.

Git would believe `core.worktree` in a configuration that the agent can write. So both places are
said on every call, and a checkout is nothing but what lies where we look.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from repobridge_runner.gitcommand import Git, GitResult


@dataclass(frozen=True)
class Checkout:
    """A working tree with its git directory."""

    git: Git
    top: Path

    @classmethod
    def around(cls, git: Git, directory: Path, *, within: Path | None = None) -> Checkout | None:
        """The checkout that a directory belongs to; None where there is no git.

        `within` is the highest folder that may be its top: above a checkout of ours that lost its
        `.git` there may be somebody else's.
        """
        for top in (directory, *directory.parents):
            if within is not None and not top.is_relative_to(within):
                return None
            entry = top / ".git"
            if (entry / "HEAD").exists() or entry.is_file():
                return cls(git, top)
        return None

    @property
    def variables(self) -> dict[str, str]:
        """What tells git where both are."""
        return {"GIT_DIR": str(self.top / ".git"), "GIT_WORK_TREE": str(self.top)}

    async def run(
        self,
        *arguments: str,
        check: bool = True,
        output_bytes: int = 1 << 20,
        config: tuple[tuple[str, str], ...] = (),
        variables: Mapping[str, str] | None = None,
    ) -> GitResult:
        """Runs a git command in the checkout."""
        return await self.git.run(
            *arguments,
            directory=self.top,
            check=check,
            output_bytes=output_bytes,
            config=config,
            variables={**self.variables, **(variables or {})},
        )

    async def commit(self, name: str) -> str:
        """The id of the commit that a name stands for; empty where there is none."""
        if name.startswith("-"):
            return ""
        found = await self.run(
            "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}",
            check=False,
        )  # fmt: skip
        return found.text if found.code == 0 else ""

    async def branch(self) -> str:
        """The branch that is checked out; empty when the head is detached."""
        found = await self.run("symbolic-ref", "--quiet", "--short", "HEAD", check=False)
        return found.text if found.code == 0 else ""

    async def without_filters(self) -> tuple[tuple[str, str], ...]:
        """Configuration that turns off the filters which the repository's own one defines.

        The user's own, such as Git LFS, keep working. A filter is a program: the hostile
        repository's would run at a mere `status`.
        """
        found = await self.run(
            "config", "--show-scope", "--includes", "--null", "--name-only",
            "--get-regexp", r"^filter\..*\.(clean|smudge|process|required)$",
            check=False,
        )  # fmt: skip
        fields = found.text.split("\0")
        own = {
            key.rpartition(".")[0]
            for scope, key in zip(fields[::2], fields[1::2], strict=False)
            if scope in {"local", "worktree"}
        }
        values = (("clean", ""), ("smudge", ""), ("process", ""), ("required", "false"))
        return tuple((f"{name}.{key}", value) for name in sorted(own) for key, value in values)
