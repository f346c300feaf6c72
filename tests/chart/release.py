"""A release on an API server, and its operator as a process with the rights of the chart."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from scripts.crds.definition import definition
from tests.apiserver.access import User
from tests.apiserver.audit import Request
from tests.apiserver.harness import ApiServer
from tests.apiserver.kubeconfig import write_kubeconfig
from tests.apiserver.kubectl import Kubectl
from tests.apiserver.operators import Operator, run_operator
from tests.apiserver.rest import Rest
from tests.chart.helm import Helm, Object, Values

_OPERATOR = "repobridge-operator"


@dataclass
class Release:
    """The release in one namespace."""

    helm: Helm
    apiserver: ApiServer
    admin: Rest
    kubectl: Kubectl
    namespace: str
    _is_there: bool = field(default=False)

    async def install(self, values: Values | None = None) -> str:
        """Installs the chart, and waits until bridges can be made; returns what helm said."""
        said = self.helm.release("install", values, namespace=self.namespace)
        self._is_there = True
        name = f"crd/{definition()['metadata']['name']}"
        await self.kubectl("wait", "--for=jsonpath={.status.conditions}", name, "--timeout=90s")
        await self.kubectl("wait", "--for=condition=Established", name, "--timeout=90s")
        return said

    def upgrade(self, values: Values | None = None) -> None:
        """Installs it again with other values."""
        self.helm.release("upgrade", values, namespace=self.namespace)

    def remove(self) -> None:
        """Uninstalls it, if it is there."""
        if self._is_there:
            self.helm.uninstall(namespace=self.namespace)
            self._is_there = False

    async def bridge(self, name: str) -> Object:
        """A bridge of the namespace.

        kubectl asks again when a changed definition has the API server set up its storage anew.
        """
        where = f"--namespace={self.namespace}"
        found: Object = json.loads(await self.kubectl("get", "rb", name, where, "-o", "json"))
        return found

    async def requests(self) -> list[Request]:
        """All that the operator has asked the API server for."""
        asked = await self.apiserver.audit.requests(user=self._user_name)
        assert asked
        return asked

    @asynccontextmanager
    async def operator(self, directory: Path) -> AsyncIterator[Operator]:
        """The operator as its deployment would run it: with the settings of the release."""
        path = f"/api/v1/namespaces/{self.namespace}/configmaps/{_OPERATOR}"
        text = (await self.admin.get(path))["data"]["operator.yaml"]
        told: dict[str, Any] = yaml.safe_load(text)
        assert told.pop("namespace") == self.namespace
        settings = {**told, "log_level": "debug"}
        user = await self._account()
        async with run_operator(user, directory, namespace=self.namespace, **settings) as operator:
            await operator.leads()
            yield operator

    @property
    def _user_name(self) -> str:
        return f"system:serviceaccount:{self.namespace}:{_OPERATOR}"

    async def _account(self) -> User:
        """The account that the chart made, with a token as a pod has one."""
        path = f"/api/v1/namespaces/{self.namespace}/serviceaccounts/{_OPERATOR}/token"
        answer = await self.admin.create(path, {"spec": {"expirationSeconds": 3600}})
        token: str = answer["status"]["token"]
        url, ca_file = self.apiserver.url, self.apiserver.ca_file
        where = self.apiserver.directory / f"{self.namespace}-{_OPERATOR}.kubeconfig"
        kubeconfig = write_kubeconfig(
            where, url=url, ca_file=ca_file, token=token, namespace=self.namespace
        )
        return User(self._user_name, token, kubeconfig, url, ca_file)
