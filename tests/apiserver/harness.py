"""A real Kubernetes API on loopback, without a node: etcd, kube-apiserver and a few controllers.

Needs no root and no container. etcd listens on unix sockets in a directory of its own, so that the
one port to be found is the API server's; if another program takes it first, the next is tried.
Everything is killed rather than asked to stop, as nobody wants the data (a polite API server takes
up to 15 s). When the test run itself is killed, the kernel kills the servers, and a shell that
waits for that removes their directory.
"""

from __future__ import annotations

import http.client
import json
import random
import secrets
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from tests.apiserver.audit import AuditLog
from tests.apiserver.certificates import Authority, write_key
from tests.apiserver.daemon import Daemon
from tests.apiserver.kubeconfig import write_kubeconfig
from tests.clustertools.cache import find_tool

ADMIN = "admin"
_CONTROLLERS_USER = "system:kube-controller-manager"
_HOST = "127.0.0.1"
# Below the range from which the kernel takes ports of outgoing connections.
_PORTS = range(20_000, 32_000)
_ATTEMPTS = 5
_READY_SECONDS = 180.0
_POLL_SECONDS = 0.02
# The controllers whose work the product relies on: without a namespace's and the collector's,
# nothing that is deleted goes; without the binder's, no claim may grow.
_CONTROLLERS = (
    "garbage-collector-controller",
    "namespace-controller",
    "persistentvolume-binder-controller",
    "persistentvolumeclaim-protection-controller",
    "resourcequota-controller",
    "serviceaccount-controller",
)
_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}
# Once standard input ends: the servers die in the same moment, then their files can go.
_SWEEP = 'cat; sleep 1; rm -rf -- "$1"'


class ApiServerFailed(Exception):
    """A server did not come up; the message has the end of its log."""


class ApiServer:
    """A running API server, and what its clients need."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = Authority(directory / "certificates")
        self.ca_file = self.authority.ca_file
        self.token = secrets.token_hex(16)
        """Of the user `admin`, who may do everything."""
        self._controllers_token = secrets.token_hex(16)
        self.url = ""
        self.kubeconfig = directory / "kubeconfig"
        self.audit = AuditLog(directory / "audit.log", self.get)
        self._port = 0
        self._etcd: Daemon | None = None
        self._api: Daemon | None = None
        self._controllers: Daemon | None = None

    def start(self) -> None:
        """Starts everything; returns when the API is ready."""
        self._prepare()
        self._etcd = Daemon(self._etcd_command(), directory=self.directory)
        self._take_port()
        write_kubeconfig(self.kubeconfig, url=self.url, ca_file=self.ca_file, token=self.token)
        write_kubeconfig(
            self.directory / "controllers.kubeconfig",
            url=self.url,
            ca_file=self.ca_file,
            token=self._controllers_token,
        )
        self._controllers = Daemon(self._controllers_command(), directory=self.directory)

    @property
    def pids(self) -> list[int]:
        """The processes of all servers."""
        return [one.pid for one in (self._controllers, self._api, self._etcd) if one is not None]

    def stop(self) -> None:
        """Ends all servers, and waits until they are gone."""
        for daemon in (self._controllers, self._api, self._etcd):
            if daemon is not None:
                daemon.kill()

    def interrupt(self) -> None:
        """Kills the API server only, as a crash would; `resume` brings it back."""
        assert self._api is not None
        self._api.kill()

    def resume(self) -> None:
        """Starts the API server again, at the same address and with the same data."""
        self._api = Daemon(self._api_command(), directory=self.directory)
        if not self._await_ready(self._api):
            raise ApiServerFailed(f"The port of the API server was taken:\n{self._api.log_tail}")

    def get(self, path: str) -> bytes:
        """What the API answers to a GET by the admin; raises OSError or HTTPException."""
        context = ssl.create_default_context(cafile=str(self.ca_file))
        connection = http.client.HTTPSConnection(_HOST, self._port, timeout=60, context=context)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {self.token}"})
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        if response.status != http.client.OK:
            raise http.client.HTTPException(f"GET {path}: {response.status} {body[:200]!r}")
        return body

    def _prepare(self) -> None:
        write_key(self.directory / "accounts.key", ec.generate_private_key(ec.SECP256R1()))
        self.authority.issue_for_loopback("kube-apiserver")
        tokens = self.directory / "tokens.csv"
        tokens.touch(mode=0o600)
        tokens.write_text(
            f'{self.token},{ADMIN},{ADMIN},"system:masters"\n'
            f"{self._controllers_token},{_CONTROLLERS_USER},{_CONTROLLERS_USER}\n"
        )
        (self.directory / "audit-policy.json").write_text(json.dumps(_AUDIT_POLICY))

    def _take_port(self) -> None:
        for _ in range(_ATTEMPTS):
            self._port = find_port()
            self.url = f"https://{_HOST}:{self._port}"
            self._api = Daemon(self._api_command(), directory=self.directory)
            if self._await_ready(self._api):
                return
        raise ApiServerFailed(f"Found no free port in {_ATTEMPTS} attempts.")

    def _await_ready(self, api: Daemon) -> bool:
        """True once the API answers and has its first namespace; False if its port was taken."""
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            if api.has_ended:
                if "address already in use" in api.log_tail:
                    return False
                raise ApiServerFailed(f"{api.name} has ended:\n{api.log_tail}")
            try:
                self.get("/readyz")
                self.get("/api/v1/namespaces/default")
            except (OSError, http.client.HTTPException):
                time.sleep(_POLL_SECONDS)
            else:
                return True
        raise ApiServerFailed(
            f"{api.name} is not ready after {_READY_SECONDS:.0f} s:\n{api.log_tail}"
        )

    def _etcd_command(self) -> list[str | Path]:
        clients = f"unix://{self.directory / 'clients.sock'}"
        peers = f"unix://{self.directory / 'peers.sock'}"
        return [
            find_tool("etcd"),
            "--name=test",
            f"--data-dir={self.directory / 'etcd'}",
            "--unsafe-no-fsync",
            "--log-level=warn",
            f"--listen-client-urls={clients}",
            f"--advertise-client-urls={clients}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=test={peers}",
        ]

    def _api_command(self) -> list[str | Path]:
        at = self.directory
        return [
            find_tool("kube-apiserver"),
            f"--etcd-servers=unix://{at / 'clients.sock'}",
            f"--bind-address={_HOST}",
            f"--secure-port={self._port}",
            f"--advertise-address={_HOST}",
            # The address of the `kubernetes` service may not be loopback; nobody uses it here.
            "--endpoint-reconciler-type=none",
            f"--tls-cert-file={at / 'certificates' / 'kube-apiserver.crt'}",
            f"--tls-private-key-file={at / 'certificates' / 'kube-apiserver.key'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={at / 'accounts.key'}",
            f"--service-account-signing-key-file={at / 'accounts.key'}",
            f"--token-auth-file={at / 'tokens.csv'}",
            "--authorization-mode=Node,RBAC",
            "--service-cluster-ip-range=10.0.0.0/24",
            f"--audit-policy-file={at / 'audit-policy.json'}",
            f"--audit-log-path={at / 'audit.log'}",
            # Megabytes until the log is rotated, which its reader could not follow.
            "--audit-log-maxsize=100000",
        ]

    def _controllers_command(self) -> list[str | Path]:
        return [
            find_tool("kube-controller-manager"),
            f"--kubeconfig={self.directory / 'controllers.kubeconfig'}",
            f"--controllers={','.join(_CONTROLLERS)}",
            "--leader-elect=false",
            "--use-service-account-credentials",
            "--secure-port=0",
        ]


@contextmanager
def start_api_server() -> Iterator[ApiServer]:
    """A ready API server of one's own, stopped and removed at the end."""
    directory = Path(tempfile.mkdtemp(prefix="repobridge-apiserver-"))
    server = ApiServer(directory)
    with _swept(directory):
        try:
            server.start()
            yield server
        finally:
            server.stop()


@contextmanager
def _swept(directory: Path) -> Iterator[None]:
    """Removes the directory at the end, or when this process is killed."""
    sweeper = subprocess.Popen(
        ["sh", "-c", _SWEEP, "sh", str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        shutil.rmtree(directory)
        sweeper.kill()
        sweeper.wait()
        assert sweeper.stdin is not None
        sweeper.stdin.close()


def find_port() -> int:
    """A port on loopback that nothing listens on; another may still take it."""
    while True:
        port = random.choice(_PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_HOST, port))
            except OSError:
                continue
            return port
