"""What goes into the images, and the key that stands for all of it."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
_INPUTS = (
    "Dockerfile",
    ".dockerignore",
    "pyproject.toml",
    "uv.lock",
    "README.md",
    "LICENSE",
    "core",
    "operator",
    "gateway",
    "session-runner",
    "cli",
    "scripts/install-claude",
    "scripts/npm.py",
)


def content_key(root: Path, *further: str) -> str:
    """A short name for the files that go into the images, and for whatever else is given."""
    digest = hashlib.sha256("\0".join(further).encode())
    for path in _files(root):
        digest.update(f"\0{path.relative_to(root)}\0{path.stat().st_mode & 0o111:o}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def copy_contents(root: Path, to: Path) -> None:
    """Copies what goes into the images: what is built is then what the key is of."""
    for path in _files(root):
        copy = to / path.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy)


def _files(root: Path) -> Iterator[Path]:
    for name in _INPUTS:
        path = root / name
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (each for each in found if each.is_file() and "__pycache__" not in each.parts)
