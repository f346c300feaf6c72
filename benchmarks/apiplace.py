"""Where the operator is measured: a real API server without a node, and namespaces on it.

The operator is a process of its own with its least rights, at the log level that people run it at;
what stands in for a node is that of the tests.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from repobridge import crd
from repobridge_operator import rbac
from scripts.crds.definition import FILE
from tests.apiserver.access import User, make_user
from tests.apiserver.harness import ApiServer, start_api_server
from tests.apiserver.kubectl import Kubectl
from tests.apiserver.operators import Operator, run_operator
from tests.apiserver.rest import Rest, RestError, connect
from tests.apiserver.test_operator import Place, writes

_NOT_YET = frozenset({404, 429, 503})
_PATIENCE_SECONDS = 60.0
_POLL_SECONDS = 0.05
AT_ONCE = 16
"""How many requests of a bare client are under way at a time."""


@dataclass(frozen=True, slots=True)
class Room:
    """A namespace, and an operator that serves it and no other."""

    place: Place
    user: User
    apiserver: ApiServer
    directory: Path

    def operator(self) -> AbstractAsyncContextManager[Operator]:
        """The operator as a process, killed at the end."""
        return run_operator(
            self.user, self.directory, namespace=self.place.namespace, log_level="info"
        )

    async def written(self, *, since: int = 0) -> Counter[str]:
        """The operator's writes by verb and resource, beside its Lease and its own Secrets."""
        asked = await writes(self.apiserver, self.user, since=since)
        return Counter(f"{verb} {resource}" for verb, resource, _ in asked)


@dataclass(frozen=True, slots=True)
class ApiPlace:
    """A real API server that serves the API of the bridges."""

    apiserver: ApiServer
    admin: Rest
    directory: Path

    @property
    def kubectl(self) -> Kubectl:
        """kubectl as the admin."""
        return Kubectl(self.apiserver.kubeconfig, home=self.apiserver.directory)

    async def namespace(self, name: str) -> Place:
        """A new namespace in which pods can be made."""
        await self.admin.create("/api/v1/namespaces", {"metadata": {"name": name}})
        accounts = f"/api/v1/namespaces/{name}/serviceaccounts"
        await self.admin.wait_for(accounts, "default", lambda account: account is not None)
        return Place(self.admin, name)

    async def room(self, name: str) -> Room:
        """A new namespace, with an account for an operator that serves it."""
        place = await self.namespace(name)
        user = await make_user(
            self.apiserver,
            self.admin,
            namespace=name,
            name="operator",
            rules=[*rbac.served_rules(), *rbac.own_rules()],
        )
        return Room(place, user, self.apiserver, self.directory)


@asynccontextmanager
async def api_place(directory: Path) -> AsyncIterator[ApiPlace]:
    """A fresh API server, removed at the end with all that is in it."""
    with start_api_server() as apiserver:
        async with connect(
            url=apiserver.url, ca_file=apiserver.ca_file, token=apiserver.token
        ) as admin:
            place = ApiPlace(apiserver, admin, directory)
            await place.kubectl("apply", "--server-side", "-f", str(FILE))
            await _until_served(admin)
            yield place


async def _until_served(admin: Rest) -> None:
    """A new kind is missing at first, then its storage is made."""
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while True:
            try:
                await admin.get(f"/apis/{crd.API_VERSION}/{crd.PLURAL}")
                return
            except RestError as error:
                if error.code not in _NOT_YET:
                    raise
            await asyncio.sleep(_POLL_SECONDS)
