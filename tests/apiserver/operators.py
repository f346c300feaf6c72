"""The operator as a process, with a service account that has its rights and no more."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from repobridge_operator import rbac
from tests.apiserver.access import User
from tests.apiserver.conftest import MakeUser
from tests.tied import tied

_DEADLINE_SECONDS = 120.0
_POLL_SECONDS = 0.02

Line = Mapping[str, Any]


@dataclass
class Operator:
    """A running operator and what it has logged."""

    process: subprocess.Popen[bytes]
    log: Path
    _offset: int = field(default=0)
    _lines: list[Line] = field(default_factory=list)

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    def lines(self) -> list[Line]:
        """What it has logged so far."""
        with self.log.open("rb") as file:
            file.seek(self._offset)
            whole, _, _ = file.read().rpartition(b"\n")
        if whole:
            self._offset += len(whole) + 1
            self._lines += [_parsed(each) for each in whole.split(b"\n")]
        return self._lines

    async def logged(self, message: str, *, where: Callable[[Line], bool] = bool) -> Line:
        """The first line with this message, once there is one; fails when the process ends."""
        async with asyncio.timeout(_DEADLINE_SECONDS):
            while True:
                ended = self.process.poll() is not None
                for line in self.lines():
                    if line.get("msg") == message and where(line):
                        return line
                assert not ended, f"the operator ended: {self.log.read_text()[-4000:]}"
                await asyncio.sleep(_POLL_SECONDS)

    async def leads(self) -> None:
        """Waits until it has listed everything and looks at bridges."""
        await self.logged("operator leads")

    async def port(self) -> int:
        """Where its probes and metrics are."""
        return int((await self.logged("operator starts"))["port"])

    async def metric(self, name: str, **labels: str) -> float:
        """A metric's value, all labels that are not named summed up."""
        return await asyncio.to_thread(_metric, await self.port(), name, labels)

    async def looks(self, count: int) -> None:
        """Waits until it has looked at bridges so many times more."""
        name = "repobridge_operator_reconciles_total"
        wanted = await self.metric(name) + count
        async with asyncio.timeout(max(_DEADLINE_SECONDS, count)):
            while await self.metric(name) < wanted:
                await asyncio.sleep(_POLL_SECONDS)

    def pause(self) -> None:
        """Stops the process in its tracks, as a hypervisor may."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets it go on."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Ends it at any step."""
        self.process.kill()
        self.process.wait(60)

    async def terminate(self) -> int:
        """Asks it to end; its exit code."""
        self.process.terminate()
        return await asyncio.to_thread(self.process.wait, 60)


@asynccontextmanager
async def run_operator(
    user: User, directory: Path, *, namespace: str, **settings: object
) -> AsyncIterator[Operator]:
    """An operator for one namespace, killed at the end."""
    name = f"operator-{secrets.token_hex(4)}"
    config, log = directory / f"{name}.yaml", directory / f"{name}.log"
    told: dict[str, object] = {
        "kubeconfig": str(user.kubeconfig),
        "namespace": namespace,
        "namespaces": [namespace],
        "pod": {"image": "example.test/runner:1"},
        "listen": "127.0.0.1:0",
        "log_level": "debug",
    }
    config.write_text(json.dumps(told | settings))
    command = [sys.executable, "-m", "repobridge_operator", "--config", str(config)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            tied(command),
            env={"PATH": os.environ["PATH"], "HOME": str(directory)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    operator = Operator(process, log)
    try:
        yield operator
    finally:
        operator.kill()


def _metric(port: int, name: str, labels: Mapping[str, str]) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    return sum(
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


async def make_operator_user(make_limited_user: MakeUser, name: str = "operator") -> User:
    """A service account with the operator's rights in its namespace."""
    return await make_limited_user(name, [*rbac.served_rules(), *rbac.own_rules()])


def _parsed(line: bytes) -> Line:
    try:
        found = json.loads(line)
    except ValueError:
        return {"msg": line.decode(errors="replace")}
    return found if isinstance(found, dict) else {"msg": line.decode(errors="replace")}
