"""The real helm, and an API server of its own: definitions and cluster roles are one for all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scripts.crds.definition import definition
from tests.apiserver.conftest import admin, apiserver, kubectl, namespace
from tests.apiserver.harness import ApiServer
from tests.apiserver.rest import Rest, RestError
from tests.chart.helm import Helm

__all__ = ["admin", "apiserver", "kubectl", "namespace"]

_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@pytest.fixture
def helm(tmp_path: Path) -> Helm:
    """Helm without a cluster."""
    return Helm(tmp_path)


@pytest.fixture
async def cluster_helm(apiserver: ApiServer, admin: Rest, tmp_path: Path) -> AsyncIterator[Helm]:
    """Helm on the API server, on which there is no definition, neither before nor after."""
    await _forget(admin)
    yield Helm(tmp_path, apiserver.kubeconfig)
    await _forget(admin)


async def _forget(admin: Rest) -> None:
    name = definition()["metadata"]["name"]
    try:
        await admin.delete(f"{_DEFINITIONS}/{name}")
    except RestError as error:
        if error.code != 404:
            raise
    await admin.wait_for(_DEFINITIONS, name, lambda one: one is None)
