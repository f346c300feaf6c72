"""etcd, the API server, the controllers and the scheduler, as this node wants them started."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tests.cluster.addresses import (
    API_PORT,
    ETCD_PEER_PORT,
    ETCD_PORT,
    FIRST_SERVICE_ADDRESS,
    NODE_ADDRESS,
    NODE_NAME,
    SERVICE_RANGE,
)
from tests.cluster.certificates import Authority, Certificate, write_kubeconfig
from tests.cluster.daemons import Daemon
from tests.cluster.periods import Periods

_INSIDE = f"https://{NODE_ADDRESS}:{API_PORT}"


@dataclass(frozen=True)
class Credentials:
    """Every file with which a part of the cluster shows who it is."""

    authority: Path
    api_server: Certificate
    api_client: Certificate
    """The API server's, at the kubelet."""
    kubelet_server: Certificate
    accounts: Certificate
    """The key pair of service account tokens."""
    admin: Path
    """A kubeconfig, as the others are."""
    controllers: Path
    scheduler: Path
    kubelet: Path
    proxy: Path


def make_credentials(directory: Path, *, now: datetime, person: Path, server: str) -> Credentials:
    """Writes all of them, and at `person` a kubeconfig for the server's address outside."""
    ca = Authority(directory, now=now)

    def kubeconfig(file: str, user: str, *groups: str) -> Path:
        client = ca.issue_client(file, user=user, groups=groups)
        path = directory / f"{file}.kubeconfig"
        return write_kubeconfig(path, server=_INSIDE, authority=ca.path, client=client)

    admin = ca.issue_client("admin", user="admin", groups=["system:masters"])
    write_kubeconfig(person, server=server, authority=ca.path, client=admin)
    return Credentials(
        authority=ca.path,
        api_server=ca.issue_server(
            "api-server",
            addresses=["127.0.0.1", NODE_ADDRESS, FIRST_SERVICE_ADDRESS],
            dns_names=["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"],
        ),
        api_client=ca.issue_client("api-client", user="api-server", groups=["system:masters"]),
        kubelet_server=ca.issue_server(
            "kubelet-server", addresses=[NODE_ADDRESS], dns_names=[NODE_NAME]
        ),
        accounts=ca.issue_key_pair("accounts"),
        admin=write_kubeconfig(
            directory / "admin.kubeconfig", server=_INSIDE, authority=ca.path, client=admin
        ),
        controllers=kubeconfig("controllers", "system:kube-controller-manager"),
        scheduler=kubeconfig("scheduler", "system:kube-scheduler"),
        kubelet=kubeconfig("kubelet", f"system:node:{NODE_NAME}", "system:nodes"),
        proxy=kubeconfig("proxy", "system:kube-proxy"),
    )


def make_etcd(program: Path, data: Path) -> Daemon:
    """etcd without fsync: what it holds ends with the cluster."""
    client = f"http://127.0.0.1:{ETCD_PORT}"
    peer = f"http://127.0.0.1:{ETCD_PEER_PORT}"
    return Daemon(
        "etcd",
        [
            program,
            "--name=node",
            f"--data-dir={data}",
            "--unsafe-no-fsync",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=node={peer}",
            "--log-level=warn",
        ],
    )


def make_api_server(program: Path, credentials: Credentials) -> Daemon:
    """The API server, with RBAC, Pod Security and the restriction of nodes as elsewhere."""
    server, client, accounts = (
        credentials.api_server,
        credentials.api_client,
        credentials.accounts,
    )
    return Daemon(
        "kube-apiserver",
        [
            program,
            f"--etcd-servers=http://127.0.0.1:{ETCD_PORT}",
            f"--advertise-address={NODE_ADDRESS}",
            "--bind-address=0.0.0.0",
            f"--secure-port={API_PORT}",
            f"--tls-cert-file={server.certificate}",
            f"--tls-private-key-file={server.key}",
            f"--client-ca-file={credentials.authority}",
            # No proxy comes before it, but controllers and scheduler wait for this to be said.
            f"--requestheader-client-ca-file={credentials.authority}",
            "--requestheader-allowed-names=nobody",
            f"--kubelet-certificate-authority={credentials.authority}",
            f"--kubelet-client-certificate={client.certificate}",
            f"--kubelet-client-key={client.key}",
            "--kubelet-preferred-address-types=InternalIP",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={accounts.certificate}",
            f"--service-account-signing-key-file={accounts.key}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--shutdown-delay-duration=0s",
        ],
    )


def make_controllers(program: Path, credentials: Credentials, periods: Periods) -> Daemon:
    """The controller manager; it notices a lost node as soon as the periods allow."""
    return Daemon(
        "kube-controller-manager",
        [
            program,
            f"--kubeconfig={credentials.controllers}",
            f"--authentication-kubeconfig={credentials.controllers}",
            f"--authorization-kubeconfig={credentials.controllers}",
            f"--root-ca-file={credentials.authority}",
            f"--service-account-private-key-file={credentials.accounts.key}",
            "--use-service-account-credentials",
            # One account a controller: at the usual rate they alone take seconds.
            "--kube-api-qps=500",
            "--kube-api-burst=1000",
            "--bind-address=127.0.0.1",
            "--leader-elect=false",
            f"--node-monitor-period={periods.monitor_seconds}s",
            f"--node-monitor-grace-period={periods.grace_seconds}s",
        ],
    )


def make_scheduler(program: Path, credentials: Credentials) -> Daemon:
    """The scheduler of the only node."""
    return Daemon(
        "kube-scheduler",
        [
            program,
            f"--kubeconfig={credentials.scheduler}",
            f"--authentication-kubeconfig={credentials.scheduler}",
            f"--authorization-kubeconfig={credentials.scheduler}",
            "--bind-address=127.0.0.1",
            "--leader-elect=false",
        ],
    )
