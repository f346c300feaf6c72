"""How the API server is reached, and what a person is told where nothing says how."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client.api_client import ApiClient

from repobridge.connection import ConnectionRefused, connection
from repobridge_operator.cluster import Cluster, Resource


async def test_outside_of_a_cluster_a_kubeconfig_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ConnectionRefused) as caught:
        await connection(None, "")
    assert str(caught.value) == (
        "The API server can't be reached by the service account of a pod: Service host/port is"
        " not set. Outside of a cluster, name a kubeconfig."
    )


async def test_a_kubeconfig_that_is_missing_or_has_no_such_context_is_named(
    tmp_path: Path,
) -> None:
    path = tmp_path / "kubeconfig"
    with pytest.raises(ConnectionRefused, match=str(path)):
        await connection(path, "")
    path.write_text(_KUBECONFIG)
    with pytest.raises(ConnectionRefused, match="elsewhere"):
        await connection(path, "elsewhere")


async def test_a_kubeconfig_gives_address_and_token(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(_KUBECONFIG)
    found = await connection(path, "")
    assert found.host == "https://127.0.0.1:6443"
    assert await found.get_api_key_with_prefix("BearerToken") == "Bearer t0ken"


async def test_calls_go_where_the_kubeconfig_says_as_the_watches_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []

    async def answer(request: web.Request) -> web.Response:
        told.append(request.headers["Authorization"])
        return web.json_response({"kind": "Pod"})

    server = web.Application()
    server.router.add_get("/api/v1/namespaces/here/pods/one", answer)
    # Neither a proxy of the environment nor somebody's ~/.netrc has a say.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password secret")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    path = tmp_path / "kubeconfig"
    async with TestServer(server) as api:
        path.write_text(_KUBECONFIG.replace("https://127.0.0.1:6443", str(api.make_url(""))))
        async with ApiClient(await connection(path, "")) as client:
            found = await Cluster(client).get(Resource.POD, "here", "one")
    assert (found, told) == ({"kind": "Pod"}, ["Bearer t0ken"])


_KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:6443"}}]
users: [{name: u, user: {token: t0ken}}]
contexts: [{name: here, context: {cluster: c, user: u}}]
current-context: here
"""
