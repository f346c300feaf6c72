"""Where a built program lies, and how it gets there whole.

`$KUBEBUILDER_ASSETS` goes first for the three programs that it usually holds. A program appears in
the cache by a rename, under the lock of its set: a reader sees it whole or not at all, two builders
never do the same work, and what a killed one left is removed by the next.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.clustertools.catalog import TOOLS, Tool

_FROM_ASSETS = ("etcd", "kube-apiserver", "kubectl")
_UNFINISHED = ".unfinished-"


class ToolMissing(Exception):
    """A program is not built yet."""


@dataclass(frozen=True)
class Cache:
    """The cache of built programs, and what the machine brings itself."""

    root: Path
    assets: Path | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Cache:
        """$REPOBRIDGE_CACHE, else repobridge under $XDG_CACHE_HOME, else under ~/.cache."""
        caches = Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        ours = Path(environment.get("REPOBRIDGE_CACHE") or caches / "repobridge")
        assets = environment.get("KUBEBUILDER_ASSETS")
        return cls(ours / "cluster-tools", Path(assets) if assets else None)

    def find(self, tool: Tool) -> Path | None:
        """The program's path, or None when it has to be built."""
        if self.assets is not None and tool.name in _FROM_ASSETS:
            brought = self.assets / tool.name
            if os.access(brought, os.X_OK):
                return brought
        built = self.folder(tool) / tool.name
        return built if built.is_file() else None

    def folder(self, tool: Tool) -> Path:
        """Where the programs of the tool's set are."""
        return self.root / tool.key

    @contextmanager
    def lock(self, tool: Tool, on_wait: Callable[[], None]) -> Iterator[None]:
        """Holds the set's lock, which the kernel takes back when its holder dies.

        Calls `on_wait` first when another holds it.
        """
        self.folder(tool).mkdir(parents=True, exist_ok=True)
        with (self.folder(tool) / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                on_wait()
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextmanager
    def new(self, tool: Tool) -> Iterator[Path]:
        """A path to build at; the program is in the cache once the block ends well."""
        for left in self.folder(tool).glob(f"{_UNFINISHED}*"):
            shutil.rmtree(left)
        with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=self.folder(tool)) as work:
            path = Path(work) / tool.name
            yield path
            path.replace(self.folder(tool) / tool.name)


def find_tool(name: str) -> Path:
    """The path of a program that is there; raises `ToolMissing` when it is not."""
    found = Cache.from_environment(os.environ).find(TOOLS[name])
    if found is None:
        raise ToolMissing(f"{name} is not built yet; run: make cluster-tools")
    return found
