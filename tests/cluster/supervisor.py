"""The first process of a cluster: it starts the node, keeps it, and takes everything away again.

It runs as the first process of a PID namespace of its own, with network and mounts of its own. So
whatever ends it ends every process of the node, every mount and the network with it, by the
kernel's hand; only the control groups and the directory remain then, for the next start to remove.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from repobridge.relay import relay
from tests.cluster import cgroups, control_plane, imitations, node, seclusion, storage
from tests.cluster.addresses import API_PORT, DISCORD_PORT, NODE_ADDRESS, NODE_NAME
from tests.cluster.api_client import ApiClient, NotYet
from tests.cluster.control import ControlServer
from tests.cluster.control_plane import Credentials
from tests.cluster.daemons import Daemon, DaemonError, Daemons
from tests.cluster.dns import make_dns
from tests.cluster.plan import Plan, Said

_PATIENCE_SECONDS = 90.0
_LOOK_SECONDS = 0.05


class StartFailed(Exception):
    """A part of the cluster did not come up."""


class Supervisor:
    """One cluster, from its first daemon to its last."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._directory = plan.place.directory
        self._daemons = Daemons(plan.place.logs)
        self._ending = asyncio.Event()
        self._serving: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Starts the node, says so, and returns when somebody wants the end."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ending.set)
        loop.add_signal_handler(signal.SIGCHLD, lambda: self._keep(self._daemons.reap()))
        if self._plan.is_tied:
            loop.add_reader(sys.stdin.fileno(), self._read_input)
        state = seclusion.read_own_state()
        self._plan.place.write_state(state)
        starting = asyncio.create_task(self._start())
        ending = asyncio.create_task(self._ending.wait())
        await asyncio.wait({starting, ending}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            return
        starting.result()
        self._plan.place.write_state(replace(state, is_ready=True))
        self._say("ready", is_final=True)
        await ending

    def _keep(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    def _read_input(self) -> None:
        # The owner never writes: what can be read is the end of its pipe, that is, of the owner.
        if not os.read(sys.stdin.fileno(), 1024):
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            self._ending.set()

    async def _start(self) -> None:
        plan, directory = self._plan, self._directory
        credentials = control_plane.make_credentials(
            directory / "credentials",
            now=datetime.now(UTC),
            person=plan.place.kubeconfig,
            server=f"https://127.0.0.1:{plan.port}",
        )
        self._seclude()
        self._daemons.start(control_plane.make_etcd(plan.tools["etcd"], directory / "etcd"))
        self._daemons.start(
            control_plane.make_api_server(plan.tools["kube-apiserver"], credentials)
        )
        self._daemons.start(node.make_containerd(plan.programs, directory / "containerd"))
        await self._load_probe()
        api = _make_admin(credentials, directory / "credentials")
        await self._until("kube-apiserver", api.is_ready)
        self._start_controllers(credentials)
        self._start_node(credentials)
        for each in storage.make_classes():
            await asyncio.to_thread(api.create, storage.CLASSES_PATH, each)
        if plan.page is not None:
            self._daemons.start(imitations.make_model())
            self._daemons.start(imitations.make_discord())
            self._keep(self._forward(plan.page, DISCORD_PORT))
        await ControlServer(self._daemons).serve(plan.place.control)
        self._keep(self._forward(plan.listener, API_PORT))
        await self._until("kubelet", lambda: _is_node_ready(api))
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        await self._until("kube-controller-manager", lambda: bool(api.get(account)))
        if plan.page is not None:
            await self._until("discord", lambda: imitations.is_there(plan.place))

    def _seclude(self) -> None:
        seclusion.prepare_mounts(self._directory)
        seclusion.prepare_network()
        cgroups.create(self._plan.place.name)

    async def _load_probe(self) -> None:
        await self._until("containerd", node.CONTAINERD_SOCKET.exists)
        await self._daemons.run(node.make_import(self._plan.probe))
        self._say("containerd runs, with its first image")

    def _start_controllers(self, credentials: Credentials) -> None:
        tools, periods = self._plan.tools, self._plan.periods
        self._say("the API server answers")
        controllers = tools["kube-controller-manager"]
        self._daemons.start(control_plane.make_controllers(controllers, credentials, periods))
        self._daemons.start(control_plane.make_scheduler(tools["kube-scheduler"], credentials))

    def _start_node(self, credentials: Credentials) -> None:
        plan, directory = self._plan, self._directory
        self._daemons.start(
            node.make_kubelet(
                plan.tools["kubelet"],
                directory=directory / "kubelet",
                cluster=plan.place.name,
                credentials=credentials,
                periods=plan.periods,
                dns=NODE_ADDRESS,
            )
        )
        proxy = directory / "kube-proxy"
        self._daemons.start(
            node.make_proxy(plan.tools["kube-proxy"], directory=proxy, credentials=credentials)
        )
        self._daemons.start(make_dns(plan.tools["coredns"], directory / "dns", credentials.admin))
        volumes = directory / "volumes"
        self._daemons.start(
            Daemon(
                "provisioner",
                [sys.executable, "-m", "tests.cluster.storage", credentials.admin, volumes],
            )
        )

    async def _forward(self, descriptor: int, port: int) -> None:
        # The listener belongs to the machine's network, the sockets made here to the node's.
        loop = asyncio.get_running_loop()
        with socket.socket(fileno=descriptor) as listener:
            listener.setblocking(False)
            while True:
                person, _ = await loop.sock_accept(listener)
                self._keep(_connect_through(person, port))

    async def _until(self, daemon: str, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not await asyncio.to_thread(_holds, is_so):
            if (ended := self._daemons.first_ended()) is not None:
                raise StartFailed(self._daemons.complaint(ended))
            if time.monotonic() > deadline:
                raise StartFailed(self._daemons.complaint(daemon))
            await asyncio.sleep(_LOOK_SECONDS)

    def _say(self, line: str, *, is_final: bool = False) -> None:
        report(self._plan, Said(line, is_final=is_final))


def report(plan: Plan, said: Said) -> None:
    """Tells the starter, if it still listens."""
    try:
        os.write(plan.report, said.dump())
    except BrokenPipeError:
        pass


def take_away(plan: Plan) -> None:
    """Ends every other process of the namespace, then removes what they had."""
    while True:
        try:
            os.kill(-1, signal.SIGKILL)
        except ProcessLookupError:
            pass
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            break
    seclusion.detach_mounts(plan.place.directory)
    cgroups.remove(plan.place.name)
    shutil.rmtree(plan.place.directory)
    plan.place.lock.unlink()


def _make_admin(credentials: Credentials, directory: Path) -> ApiClient:
    return ApiClient(
        authority=credentials.authority,
        certificate=directory / "admin.crt",
        key=directory / "admin.key",
    )


def _holds(is_so: Callable[[], bool]) -> bool:
    try:
        return is_so()
    except NotYet:
        return False


def _is_node_ready(api: ApiClient) -> bool:
    conditions = api.get(f"/api/v1/nodes/{NODE_NAME}").get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


async def _connect_through(person: socket.socket, port: int) -> None:
    server = socket.socket()
    server.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(server, (NODE_ADDRESS, port))
    except OSError:
        person.close()
        server.close()
        return
    await relay(person, server)


def main(plan: Plan) -> int:
    """Runs a cluster; returns the exit code."""
    failure = None
    try:
        asyncio.run(Supervisor(plan).run())
    except (StartFailed, DaemonError, NotYet, seclusion.SeclusionFailed, OSError) as error:
        failure = str(error)
    take_away(plan)
    if failure is not None:
        report(plan, Said(failure, is_final=True, has_failed=True))
    return 0 if failure is None else 1


if __name__ == "__main__":
    sys.exit(main(Plan.parse(Path(sys.argv[1]).read_text())))
