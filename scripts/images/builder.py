"""buildah, with a store of its own: images from a folder or from the Dockerfile, to an archive."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.images.failure import ImagesError

_LAST_LINES = 20
_MOST_IMAGES = 200
"""Beyond it, the layers of former builds are removed: some eight builds' worth."""


@dataclass(frozen=True)
class Builder:
    """Runs buildah on one store; what the programs say goes to the log."""

    store: Path
    log: Path
    environment: Mapping[str, str]

    def has(self, name: str) -> bool:
        """Whether the store has an image of that name."""
        return any(name in (image["names"] or ()) for image in self._images())

    def commit(self, tree: Path, name: str) -> None:
        """Makes an image of a folder."""
        container = self._buildah("from", "scratch").strip()
        try:
            self._buildah("copy", "--quiet", container, str(tree), "/")
            self._buildah("commit", "--quiet", container, name)
        finally:
            self._buildah("rm", container)

    def build(self, root: Path, *, target: str, name: str, base: str, script: Path) -> None:
        """Builds one target of the Dockerfile, from the layers that did not change.

        `script` tells the steps how to reach registries; it stays in no layer.
        """
        self._buildah(
            "bud", "--isolation=chroot", "--network=host", "--layers", "--format=oci",
            f"--build-arg=BASE={base}", f"--secret=id=machine,src={script}",
            f"--target={target}", f"--tag={name}", str(root),
        )  # fmt: skip

    def export(self, name: str, archive: Path) -> None:
        """Writes an image to an archive that names it."""
        self._buildah("push", "--quiet", name, f"oci-archive:{archive}:{name}")

    def tidy(self) -> None:
        """Removes what only former builds used, once it is much."""
        if len(self._images()) > _MOST_IMAGES:
            self._buildah("rmi", "--prune", "--force")

    def run(self, *command: str) -> str:
        """Runs a program; raises ImagesError with the end of what it said."""
        with self.log.open("a") as log:
            done = subprocess.run(
                command,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                check=False,
            )
            log.write(done.stdout)
        if done.returncode != 0:
            last = "\n".join(done.stdout.splitlines()[-_LAST_LINES:])
            raise ImagesError(f"{os.path.basename(command[0])} failed ({self.log}):\n{last}")
        return done.stdout

    def _images(self) -> Sequence[Mapping[str, Sequence[str]]]:
        listed: Sequence[Mapping[str, Sequence[str]]] = json.loads(
            self._buildah("images", "--all", "--json") or "[]"
        )
        return listed or ()

    def _buildah(self, *arguments: str) -> str:
        return self.run(
            "buildah", f"--root={self.store}/root", f"--runroot={self.store}/run",
            "--storage-driver=overlay", *arguments,
        )  # fmt: skip
