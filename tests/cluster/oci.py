"""An image as an archive holds it, unpacked, and run by runc as a pod would run it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VOLUMES: Mapping[str, int] = {"/tmp": 0o2770, "/run/repobridge": 0o2770, "/workspace": 0o2770}
"""The modes of a pod's volumes, which belong to root, and to the group that `fsGroup` names."""
_WHITEOUT = ".wh."
_SECONDS = 180


@dataclass(frozen=True)
class Unpacked:
    """An image's files, and what it says of itself."""

    root: Path
    config: Mapping[str, Any]

    @property
    def group(self) -> int:
        """The group of the image's user, which a pod names as its fsGroup."""
        return int(self.config["User"].split(":")[1])


def unpack(archive: Path, folder: Path) -> Unpacked:
    """Unpacks an OCI archive's layers over each other; needs root for their owners."""
    layout, root = folder / "layout", folder / "rootfs"
    for path in (layout, root):
        path.mkdir(parents=True)
    _untar(archive, layout)
    [entry] = _read(layout / "index.json")["manifests"]
    manifest = _read(_blob(layout, entry["digest"]))
    for layer in manifest["layers"]:
        _untar(_blob(layout, layer["digest"]), root)
        _apply_whiteouts(root)
    config = _read(_blob(layout, manifest["config"]["digest"]))["config"]
    shutil.rmtree(layout)
    return Unpacked(root, config)


def _untar(archive: Path, into: Path) -> None:
    words = ("tar", "--extract", "--numeric-owner", f"--file={archive}", f"--directory={into}")
    subprocess.run(words, check=True, timeout=_SECONDS)


def _apply_whiteouts(root: Path) -> None:
    for mark in root.rglob(f"{_WHITEOUT}*"):
        hidden = mark.with_name(mark.name.removeprefix(_WHITEOUT))
        if hidden.is_dir() and not hidden.is_symlink():
            shutil.rmtree(hidden)
        else:
            hidden.unlink(missing_ok=True)
        mark.unlink()


def _read(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_text())
    return value


def _blob(layout: Path, digest: str) -> Path:
    return layout / "blobs" / digest.replace(":", "/")


class Container:
    """One run of an image: read-only, without capabilities, the image's own user.

    A process id namespace of its own makes the command its first process, as in a pod. It has no
    network, unless it shares ours, for the servers of a test on loopback.
    """

    def __init__(
        self, image: Unpacked, folder: Path, *, name: str, shares_network: bool = False
    ) -> None:
        self._image = image
        self._folder = folder
        self._bundle = folder / name
        # The kernel's control groups are named by it, on the whole machine.
        self._name = f"{name}-{uuid.uuid4().hex[:8]}"
        self._shares_network = shares_network

    def run(
        self,
        *words: str,
        environment: Mapping[str, str] | None = None,
        volumes: Mapping[str, int] = VOLUMES,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end; without words, the image's own."""
        return subprocess.run(
            self._prepare(words, environment, volumes),
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )

    def start(self, *, environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
        """Starts the image's own command; what it says goes to the log."""
        words = self._prepare((), environment, VOLUMES)
        with log.open("wb") as output:
            return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def exec_words(self, *words: str) -> tuple[str, ...]:
        """The words that run a further command in it, as `kubectl exec` does."""
        return (*self._runc(), "exec", self._name, *words)

    def execute(self, *words: str) -> str:
        """Runs a further command in it, and returns what it printed."""
        done = subprocess.run(
            self.exec_words(*words), capture_output=True, text=True, timeout=_SECONDS, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def first_process(self) -> int:
        """The id of its first process, as we see it."""
        words = (*self._runc(), "state", self._name)
        done = subprocess.run(words, capture_output=True, check=True, timeout=_SECONDS)
        return int(json.loads(done.stdout)["pid"])

    def signal(self, name: str) -> None:
        """Signals its first process."""
        subprocess.run((*self._runc(), "kill", self._name, name), check=True, timeout=_SECONDS)

    def remove(self) -> None:
        """Kills what is left of it."""
        words = (*self._runc(), "delete", "--force", self._name)
        subprocess.run(words, check=True, timeout=_SECONDS)

    def _runc(self) -> tuple[str, ...]:
        return ("runc", f"--root={self._folder}/runc")

    def _prepare(
        self,
        words: Sequence[str],
        environment: Mapping[str, str] | None,
        volumes: Mapping[str, int],
    ) -> tuple[str, ...]:
        bundle = self._bundle
        bundle.mkdir(parents=True, exist_ok=True)
        specification = _specification(self._image, words, environment or {})
        specification["mounts"] += [
            _volume(bundle / path.strip("/").replace("/", "-"), path, mode, self._image.group)
            for path, mode in volumes.items()
        ]
        if not self._shares_network:
            specification["linux"]["namespaces"].append({"type": "network"})
        (bundle / "config.json").write_text(json.dumps(specification))
        return (*self._runc(), "run", f"--bundle={bundle}", self._name)


def _specification(
    image: Unpacked,
    words: Sequence[str],
    environment: Mapping[str, str],
) -> dict[str, Any]:
    uid, gid = image.config["User"].split(":")
    own = dict(each.split("=", 1) for each in image.config["Env"])
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": int(uid), "gid": int(gid)},
            "args": list(words or image.config["Entrypoint"]),
            "cwd": image.config["WorkingDir"],
            "env": [f"{name}={value}" for name, value in {**own, **environment}.items()],
            "noNewPrivileges": True,
            "capabilities": {},
        },
        "root": {"path": os.fspath(image.root), "readonly": True},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            _tmpfs("/dev", "mode=755"),
            _tmpfs("/dev/shm", "mode=1777"),
            {
                "destination": "/dev/pts",
                "type": "devpts",
                "source": "devpts",
                "options": ["newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
            },
        ],
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")]},
    }


def _tmpfs(path: str, *options: str) -> dict[str, Any]:
    return {
        "destination": path,
        "type": "tmpfs",
        "source": "tmpfs",
        "options": ["nosuid", *options],
    }


def _volume(source: Path, path: str, mode: int, group: int) -> dict[str, Any]:
    source.mkdir(exist_ok=True)
    os.chown(source, 0, group)
    source.chmod(mode)
    options = ["bind", "nosuid", "nodev"]
    return {"destination": path, "type": "bind", "source": os.fspath(source), "options": options}
