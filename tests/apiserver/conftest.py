"""A real API server for the tests of this folder, and what they ask it with.

One server serves all tests of a run (a few seconds to start); each test has a namespace of its own.
A test that interrupts the server starts another with `start_api_server`.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tests.apiserver.access import Rules, User, make_user
from tests.apiserver.harness import ApiServer, start_api_server
from tests.apiserver.kubectl import Kubectl
from tests.apiserver.rest import Rest, RestError, connect
from tests.fakes.api_proxy import ApiProxy, serve
from tests.fakes.kubelet import Kubelet, run_kubelet

MakeUser = Callable[..., Awaitable[User]]


@pytest.fixture(scope="session")
def apiserver() -> Iterator[ApiServer]:
    """The API server of this run: `url`, `token`, `ca_file`, `kubeconfig`, `audit`."""
    with start_api_server() as server:
        yield server


@pytest.fixture
async def admin(apiserver: ApiServer) -> AsyncIterator[Rest]:
    """A plain client that may do everything."""
    async with connect(
        url=apiserver.url, ca_file=apiserver.ca_file, token=apiserver.token
    ) as client:
        yield client


@pytest.fixture
def kubectl(apiserver: ApiServer) -> Kubectl:
    """`await kubectl(*arguments, input=…)` as the admin."""
    return Kubectl(apiserver.kubeconfig, home=apiserver.directory)


@pytest.fixture
async def namespace(admin: Rest) -> AsyncIterator[str]:
    """A fresh namespace with its default service account, deleted with all that is in it."""
    name = f"test-{secrets.token_hex(4)}"
    await admin.create("/api/v1/namespaces", {"metadata": {"name": name}})
    # The admission of every pod asks for this account.
    accounts = f"/api/v1/namespaces/{name}/serviceaccounts"
    await admin.wait_for(accounts, "default", lambda account: account is not None)
    yield name
    # The namespace controller empties it in the background; the next test has another. Pods that
    # were bound wait for a kubelet that is gone, and the controller would look again and again.
    try:
        await admin.delete(f"/api/v1/namespaces/{name}")
        await admin.delete(f"/api/v1/namespaces/{name}/pods", grace_seconds=0)
    except RestError as error:
        if error.code not in {404, 409}:
            raise


@pytest.fixture
def make_limited_user(apiserver: ApiServer, admin: Rest, namespace: str) -> MakeUser:
    """`await make_limited_user(name, rules, cluster_rules=…)`: a user with these rights only."""

    async def make(name: str, rules: Rules = (), *, cluster_rules: Rules = ()) -> User:
        return await make_user(
            apiserver,
            admin,
            namespace=namespace,
            name=name,
            rules=rules,
            cluster_rules=cluster_rules,
        )

    return make


@pytest.fixture
async def api_proxy(apiserver: ApiServer) -> AsyncIterator[ApiProxy]:
    """A proxy before the API server that fails on request; `user.at(api_proxy.url)` asks it."""
    pair = apiserver.authority.issue_for_loopback("proxy")
    async with serve(
        apiserver.url, ca_file=apiserver.ca_file, certificate=pair.certificate, key=pair.key
    ) as proxy:
        yield proxy


@pytest.fixture
async def kubelet(admin: Rest, namespace: str) -> AsyncIterator[Kubelet]:
    """What stands in for a node in the test's namespace: every pod runs until told otherwise."""
    async with run_kubelet(admin, namespace=namespace) as working:
        yield working


@pytest.fixture(scope="session")
def install_crd(apiserver: ApiServer) -> Callable[[Path], None]:
    """`install_crd(path)` applies a definition, and waits until the API serves it.

    Once for each: its rules cost the API server seconds of a processor, also when nothing changes.
    """
    kubectl = Kubectl(apiserver.kubeconfig, home=apiserver.directory)
    installed: set[Path] = set()

    def install(path: Path) -> None:
        if path not in installed:
            apply(path)
            installed.add(path)

    def apply(path: Path) -> None:
        kubectl.run("apply", "--server-side", "-f", str(path))
        # Until the server has written a first condition, `kubectl wait` fails at once.
        deadline = time.monotonic() + 90.0
        conditions = ("get", "-f", str(path), "-o", "jsonpath={.status.conditions}")
        while '"Established"' not in kubectl.run(*conditions):
            assert time.monotonic() < deadline, f"{path} is not taken up"
            time.sleep(0.02)
        kubectl.run("wait", "--for=condition=Established", "--timeout=90s", "-f", str(path))
        # What the server tells of itself follows a moment after what it serves.
        group, plural = kubectl.run(
            "get", "-f", str(path), "-o", "jsonpath={.spec.group} {.spec.names.plural}"
        ).split()
        resources = ("api-resources", f"--api-group={group}", "-o", "name")
        while f"{plural}.{group}" not in kubectl.run(*resources):
            assert time.monotonic() < deadline, f"{path} is not told of"
            time.sleep(0.02)

    return install
