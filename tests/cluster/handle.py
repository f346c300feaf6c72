"""A running cluster as tests use it."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.control import order
from tests.cluster.node import make_import
from tests.cluster.places import Place

_CLONE_NEWNET = 0x40000000
_KUBECTL_SECONDS = 200.0
_LOAD_SECONDS = 300.0


class CommandFailed(Exception):
    """A command ended badly; the sentence is what it wrote."""

    def __init__(self, command: Sequence[str | Path], code: int | None, said: str) -> None:
        super().__init__(f"{' '.join(map(str, command))} ended with {code}: {said.strip()}")
        self.said = said


@dataclass(frozen=True)
class Cluster:
    """One ready node, and what a test may do to it."""

    place: Place
    pid: int
    """The first process of its namespaces, as the machine numbers it."""
    kubectl_path: Path

    @property
    def kubeconfig(self) -> Path:
        """Good anywhere on this machine; the server is at the loopback address."""
        return self.place.kubeconfig

    @property
    def inner_kubeconfig(self) -> Path:
        """Good in the cluster's network alone: for programs that run there with `in_network`."""
        return self.place.directory / "credentials" / "admin.kubeconfig"

    async def kubectl(
        self,
        *arguments: str,
        stdin: str | None = None,
        seconds: float = _KUBECTL_SECONDS,
    ) -> str:
        """Runs kubectl and returns its output; raises `CommandFailed` unless it ends well."""
        command: list[str | Path] = [
            self.kubectl_path,
            f"--kubeconfig={self.kubeconfig}",
            *arguments,
        ]
        return await _run(command, stdin=stdin, seconds=seconds)

    async def apply(self, *objects: dict[str, Any]) -> None:
        """Applies objects on the server's side."""
        text = "\n---\n".join(json.dumps(each) for each in objects)
        await self.kubectl("apply", "--server-side", "--filename=-", stdin=text)

    async def get(self, *arguments: str) -> dict[str, Any]:
        """One object, or a list of them."""
        value: dict[str, Any] = json.loads(await self.kubectl("get", "-o", "json", *arguments))
        return value

    async def load(self, *oci_archives: Path) -> None:
        """Brings the images of OCI archives to the node, under the names that these give them."""
        async with asyncio.TaskGroup() as tasks:
            for archive in oci_archives:
                command = self.inside(*make_import(archive.absolute()).command)
                tasks.create_task(_run(command, stdin=None, seconds=_LOAD_SECONDS))

    async def stop(self, daemon: str, *, signal: str = "SIGTERM") -> None:
        """Ends one daemon of the node, as `kubelet`, and waits until it is gone."""
        await order(self.place.control, verb="stop", daemon=daemon, signal=signal)

    async def start(self, daemon: str) -> None:
        """Starts a daemon again that was stopped."""
        await order(self.place.control, verb="start", daemon=daemon)

    def inside(self, *command: str | Path) -> list[str]:
        """The command with the cluster's network and mounts: it reaches pods, and sees /run."""
        return ["nsenter", f"--target={self.pid}", "--net", "--mount", *map(str, command)]

    def in_network(self, *command: str | Path) -> list[str]:
        """The command with the cluster's network alone: it reaches pods, and keeps its files."""
        return ["nsenter", f"--target={self.pid}", "--net", *map(str, command)]

    def listen(self, address: str, port: int = 0) -> socket.socket:
        """A listening socket in the cluster's network: pods reach it at the node's address."""
        return self._in_network(lambda: socket.create_server((address, port)))

    def connect(self, address: str, port: int, *, seconds: float = 60.0) -> socket.socket:
        """A connection to a pod or Service."""
        return self._in_network(lambda: socket.create_connection((address, port), seconds))

    def _in_network(self, make: Callable[[], socket.socket]) -> socket.socket:
        # A network belongs to a thread, and a socket keeps the one that it was made in.
        made: list[socket.socket | BaseException] = []

        def work() -> None:
            try:
                with Path(f"/proc/{self.pid}/ns/net").open() as network:
                    if ctypes.CDLL(None, use_errno=True).setns(network.fileno(), _CLONE_NEWNET):
                        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
                made.append(make())
            except BaseException as error:
                made.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        if isinstance(made[0], BaseException):
            raise made[0]
        return made[0]


def attach(place: Place, kubectl: Path) -> Cluster:
    """The handle of a cluster that is ready."""
    state = place.read_state()
    assert state is not None
    assert state.is_ready
    return Cluster(place, state.pid, kubectl)


async def _run(command: Sequence[str | Path], *, stdin: str | None, seconds: float) -> str:
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(seconds):
            given = None if stdin is None else stdin.encode()
            output, complaint = await process.communicate(given)
    except BaseException:
        if process.returncode is None:
            process.kill()
            await process.wait()
        raise
    if process.returncode != 0:
        raise CommandFailed(command, process.returncode, complaint.decode(errors="replace"))
    return output.decode()
