"""People who work with the bridges of an installed product, each with their own commands."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.addresses import NODE_ADDRESS
from tests.cluster.handle import Cluster
from tests.cluster.product import Product
from tests.fakes.anthropic import FakeAnthropic, Gate, MessagesRequest, Text
from tests.live_serve import Ran, finished
from tests.tied import tied

PATIENCE_SECONDS = 200.0
AGENT = {"credentialsSecretRef": {"name": "anthropic"}}
WORKSPACE = {"size": "1Gi"}


@dataclass(frozen=True)
class Person:
    """Somebody with kubectl and `kubectl bridge`."""

    product: Product
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        """What the commands run with."""
        tools = self.product.cluster.kubectl_path.parent
        return {
            "PATH": f"{tools}:/usr/bin:/bin",
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "KUBECONFIG": str(self.product.cluster.kubeconfig),
            "NO_COLOR": "1",
        }

    async def start(self, command: str, *arguments: str) -> asyncio.subprocess.Process:
        """Starts `kubectl bridge COMMAND …`."""
        program = Path(sys.executable).parent / "kubectl-bridge"
        return await asyncio.create_subprocess_exec(
            *tied([program, command, *arguments, f"--namespace={self.product.namespace}"]),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self.environment,
        )

    async def bridge(self, command: str, *arguments: str) -> Ran:
        """Runs it to its end."""
        return await finished(await self.start(command, *arguments), seconds=PATIENCE_SECONDS)

    async def kubectl(self, *arguments: str) -> str:
        """Runs kubectl in the namespace of the bridges."""
        namespace = f"--namespace={self.product.namespace}"
        return await self.product.cluster.kubectl(namespace, *arguments, seconds=PATIENCE_SECONDS)

    async def get(self, *what: str) -> dict[str, Any]:
        """An object, or a list of them."""
        return await self.product.cluster.get(f"--namespace={self.product.namespace}", *what)

    async def give_key(self, name: str, model: FakeAnthropic) -> None:
        """Makes the Secret with which sessions reach their model."""
        await self.product.cluster.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name, "namespace": self.product.namespace},
                "stringData": {
                    "ANTHROPIC_API_KEY": model.key,
                    "ANTHROPIC_BASE_URL": model.base_url,
                },
            }
        )

    async def until_gone(self, *what: str) -> None:
        """Waits until an object is gone."""
        timeout = f"--timeout={PATIENCE_SECONDS - 10:.0f}s"
        await self.kubectl("wait", *what, "--for=delete", timeout)


@asynccontextmanager
async def served_model(cluster: Cluster) -> AsyncIterator[FakeAnthropic]:
    """The imitation of the model's API at the node's address, where pods reach it."""
    async with FakeAnthropic(listener=cluster.listen(NODE_ADDRESS)) as api:
        yield api


async def held_turn(
    person: Person, model: FakeAnthropic, name: str
) -> tuple[asyncio.subprocess.Process, Gate]:
    """Makes a bridge and asks it; its answer stands after "one " until the gate is opened."""
    gate = Gate()
    model.when("count", Text(["one ", gate, "two"]))
    await person.product.apply(name, agent=AGENT, workspace=WORKSPACE)
    asking = await person.start("chat", name, "-m", "count the birds")
    await gate.reached(timeout=PATIENCE_SECONDS)
    return asking, gate


def said(model: FakeAnthropic) -> list[str]:
    """The last lines of the prompts in the newest request."""
    return _last_lines(model.requests[-1])


def was_told(model: FakeAnthropic, *prompts: str) -> bool:
    """Whether some session knew just these prompts when it answered the last of them."""
    return list(prompts) in map(_last_lines, model.requests)


def _last_lines(request: MessagesRequest) -> list[str]:
    return [prompt.splitlines()[-1] for prompt in request.prompts]
