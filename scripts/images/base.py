"""The base image where python:3.13-slim can't be pulled: Debian with its Python."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

from scripts.images.builder import Builder

_SUITE = "trixie"  # the first Debian whose Python is 3.13, as in the Dockerfile's own base
_PACKAGES = ("ca-certificates", "python3")
_NOT_NEEDED = ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/man")
_RECIPE = hashlib.sha256(repr((_SUITE, _PACKAGES, _NOT_NEEDED)).encode()).hexdigest()[:12]
NAME = f"localhost/repobridge/base:{_SUITE}-{_RECIPE}"
"""Its name says the recipe: another recipe is another image."""


def ensure_base(builder: Builder, *, work: Path, say: Callable[[str], None]) -> None:
    """Makes the base image, unless the store has it."""
    if builder.has(NAME):
        return
    say(f"making a base image of Debian {_SUITE} (once) …")
    tree = work / "base"
    # The commit's owner, not ours: the folder becomes the image's root, which anyone may enter.
    tree.mkdir(mode=0o755)
    tree.chmod(0o755)
    builder.run(
        "debootstrap", "--variant=minbase", f"--include={','.join(_PACKAGES)}", _SUITE, str(tree)
    )
    for name in _NOT_NEEDED:
        for path in (tree / name).iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    builder.commit(tree, NAME)
    shutil.rmtree(tree)
