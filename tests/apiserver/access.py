"""Users with few rights: service accounts, as a program in a pod would be."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from kubernetes.aio import client, config

from tests.apiserver.harness import ApiServer
from tests.apiserver.kubeconfig import write_kubeconfig
from tests.apiserver.rest import Object, Rest, connect

_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_GROUP = "rbac.authorization.k8s.io"
_TOKEN_SECONDS = 3600

Rules = Sequence[Object]
"""PolicyRules: `{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}`."""


@dataclass(frozen=True)
class User:
    """A service account with a token."""

    name: str
    """As the audit log has it."""
    token: str
    kubeconfig: Path
    url: str
    ca_file: Path

    def at(self, url: str) -> User:
        """The same user, who asks at another address, as that of a proxy."""
        port = url.rpartition(":")[2]
        path = self.kubeconfig.with_suffix(f".{port}.kubeconfig")
        write_kubeconfig(path, url=url, ca_file=self.ca_file, token=self.token)
        return replace(self, url=url, kubeconfig=path)

    def rest(self) -> AbstractAsyncContextManager[Rest]:
        """A plain client with this user's rights."""
        return connect(url=self.url, ca_file=self.ca_file, token=self.token)

    def client(self) -> AbstractAsyncContextManager[client.ApiClient]:
        """A `kubernetes.aio` client with this user's rights."""
        return open_client(self.kubeconfig)


async def make_user(
    apiserver: ApiServer,
    admin: Rest,
    *,
    namespace: str,
    name: str,
    rules: Rules = (),
    cluster_rules: Rules = (),
) -> User:
    """A service account with a Role of these rules in its namespace, and a ClusterRole of those."""
    core = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    await admin.create(core, {"metadata": {"name": name}})
    subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    if rules:
        at = f"{_RBAC}/namespaces/{namespace}"
        await _grant(admin, at, kind="Role", name=name, subject=subject, rules=rules)
    if cluster_rules:
        whole = f"{namespace}-{name}"
        await _grant(
            admin, _RBAC, kind="ClusterRole", name=whole, subject=subject, rules=cluster_rules
        )
    request = {"spec": {"expirationSeconds": _TOKEN_SECONDS}}
    answer = await admin.create(f"{core}/{name}/token", request)
    token: str = answer["status"]["token"]
    return User(
        name=f"system:serviceaccount:{namespace}:{name}",
        token=token,
        kubeconfig=write_kubeconfig(
            apiserver.directory / f"{namespace}-{name}.kubeconfig",
            url=apiserver.url,
            ca_file=apiserver.ca_file,
            token=token,
            namespace=namespace,
        ),
        url=apiserver.url,
        ca_file=apiserver.ca_file,
    )


@asynccontextmanager
async def open_client(kubeconfig: Path) -> AsyncIterator[client.ApiClient]:
    """A `kubernetes.aio` client of a kubeconfig, closed at the end."""
    # The library has no annotations here.
    connect_as: Callable[..., Awaitable[client.ApiClient]] = config.new_client_from_config
    api = await connect_as(config_file=str(kubeconfig), persist_config=False)
    async with api:
        yield api


async def _grant(
    admin: Rest, at: str, *, kind: str, name: str, subject: Object, rules: Rules
) -> None:
    plural = f"{kind.lower()}s"
    await admin.create(f"{at}/{plural}", {"metadata": {"name": name}, "rules": [*rules]})
    binding = {
        "metadata": {"name": name},
        "subjects": [subject],
        "roleRef": {"kind": kind, "name": name, "apiGroup": _GROUP},
    }
    await admin.create(f"{at}/{kind.lower()}bindings", binding)
