"""How the API server is reached, and what a person is told where nothing says how."""

from __future__ import annotations

from pathlib import Path

import pytest

from repobridge_operator.connection import ConnectionRefused, connection


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


_KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:6443"}}]
users: [{name: u, user: {token: t0ken}}]
contexts: [{name: here, context: {cluster: c, user: u}}]
current-context: here
"""
