"""Which directories a bridge may work in.

The check is made on the real path, so that a link can't lead out of the allow-list, and what is
returned is that real path: use it, not the one that was asked for.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from repobridge.errors import RepoBridgeError


@dataclass(eq=False)
class WorkingDirError(RepoBridgeError):
    """A working directory that can't be used: a constant reason, and what to do about it."""

    reason: str
    message: str

    def __str__(self) -> str:
        return self.message


def resolve_working_dir(path: str | Path, allowed_roots: Sequence[str | Path]) -> Path:
    """The real path of a directory within one of the roots; no roots: of any directory.

    Raises WorkingDirError: NOT_ABSOLUTE, TRAVERSAL, MISSING, NOT_A_DIRECTORY, NOT_ACCESSIBLE,
    OUTSIDE_ROOTS, or LINK_LEAVES_ROOT.
    """
    asked = Path(path)
    if not asked.is_absolute():
        raise WorkingDirError(
            "NOT_ABSOLUTE", f"working_dir {asked} is relative; write the whole path, from /."
        )
    if ".." in asked.parts:
        raise WorkingDirError(
            "TRAVERSAL", f"working_dir {asked} contains '..'; write the path that it means."
        )
    real = _real_directory(asked)
    roots = [Path(os.path.realpath(root)) for root in allowed_roots]
    if not roots or any(real.is_relative_to(root) for root in roots):
        return real
    named = ", ".join(str(root) for root in allowed_roots)
    if any(asked.is_relative_to(root) for root in (*roots, *map(Path, allowed_roots))):
        raise WorkingDirError(
            "LINK_LEAVES_ROOT",
            f"working_dir {asked} is a link to {real}, which is outside the allowed roots"
            f" ({named}); use a directory inside them, or allow the one it leads to.",
        )
    raise WorkingDirError(
        "OUTSIDE_ROOTS",
        f"working_dir {real} is outside the allowed roots ({named});"
        " move it there, or add its parent to the allowed roots.",
    )


def _real_directory(asked: Path) -> Path:
    try:
        real = asked.resolve(strict=True)
        is_directory = real.is_dir()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise WorkingDirError(
            "MISSING", f"working_dir {asked} does not exist; create it, or correct the path."
        ) from error
    except (OSError, RuntimeError, ValueError) as error:
        raise WorkingDirError(
            "NOT_ACCESSIBLE", f"working_dir {str(asked)!r} can't be opened: {error}."
        ) from error
    if not is_directory:
        raise WorkingDirError(
            "NOT_A_DIRECTORY", f"working_dir {asked} is a file; name the directory it is in."
        )
    if not os.access(real, os.R_OK | os.X_OK):
        raise WorkingDirError(
            "NOT_ACCESSIBLE",
            f"working_dir {asked} can't be read by this user; change its owner or its mode.",
        )
    return real
