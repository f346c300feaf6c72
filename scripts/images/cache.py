"""Where built images lie: by the key of what went into them, whole or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_UNFINISHED = ".unfinished-"
_KEPT = 3


@dataclass(frozen=True)
class Cache:
    """The folder of the images, with the store that they are built in."""

    root: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Cache:
        """$REPOBRIDGE_CACHE, else repobridge under $XDG_CACHE_HOME, else under ~/.cache."""
        caches = Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return cls(Path(environment.get("REPOBRIDGE_CACHE") or caches / "repobridge") / "images")

    @property
    def store(self) -> Path:
        """What the builder keeps: its layers, and the base image."""
        return self.root / "store"

    @property
    def log(self) -> Path:
        """What the last build's programs said."""
        return self.root / "build.log"

    def archive(self, key: str, name: str) -> Path:
        """Where the archive of an image is, once it is built."""
        return self.root / key / f"{name}.tar"

    @contextmanager
    def lock(self, on_wait: Callable[[], None]) -> Iterator[None]:
        """Lets one build go on at a time; calls `on_wait` first when another does."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.root / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                on_wait()
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextmanager
    def work(self) -> Iterator[Path]:
        """A private folder for one build, beside its result; hold the lock."""
        for left in self.root.glob(f"{_UNFINISHED}*"):
            shutil.rmtree(left)
        with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=self.root) as work:
            yield Path(work)

    def keep(self, finished: Path, archive: Path) -> None:
        """Puts a finished archive in its place, and removes the oldest keys."""
        archive.parent.mkdir(exist_ok=True)
        finished.replace(archive)
        os.utime(archive.parent)
        folders = {path.parent for path in self.root.glob("*/*.tar") if path.parent != self.store}
        for old in sorted(folders, key=lambda path: -path.stat().st_mtime)[_KEPT:]:
            shutil.rmtree(old)
