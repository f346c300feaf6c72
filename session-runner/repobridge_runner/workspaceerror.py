"""Why a workspace can't be used, under the name that becomes a condition's reason."""

from __future__ import annotations

from dataclasses import dataclass

from repobridge.errors import RepoBridgeError


@dataclass(eq=False)
class WorkspaceError(RepoBridgeError):
    """A workspace that can't be used.

    Reasons: CloneFailed, WorkspaceForeign, WorkspaceFull, CredentialsMissing, WorkspaceLocked,
    RepositoryRefused, WorktreeFailed, and WorkingDirRefused. The sentence holds no secrets.
    """

    reason: str
    sentence: str

    def __str__(self) -> str:
        return self.sentence
