"""The real kubectl, as a person would run it."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

from tests.clustertools.cache import find_tool

_DEADLINE_SECONDS = 120.0


class KubectlFailed(Exception):
    """kubectl ended with an error; `stderr` is what it said."""

    def __init__(self, arguments: tuple[str, ...], done: subprocess.CompletedProcess[str]) -> None:
        super().__init__(f"kubectl {' '.join(arguments)}: exit {done.returncode}\n{done.stderr}")
        self.code = done.returncode
        self.stderr = done.stderr


class Kubectl:
    """`await kubectl("get", "pods", …)` returns what it printed, or raises `KubectlFailed`."""

    def __init__(self, kubeconfig: Path, *, home: Path) -> None:
        self._kubeconfig = kubeconfig
        self._home = home

    async def __call__(self, *arguments: str, input: str | None = None) -> str:
        """Runs kubectl; `-f -` reads `input`."""
        return await asyncio.to_thread(self.run, *arguments, input=input)

    def run(self, *arguments: str, input: str | None = None) -> str:
        """The same for callers without an event loop."""
        done = subprocess.run(
            [find_tool("kubectl"), *arguments],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self._home),
                "KUBECONFIG": str(self._kubeconfig),
            },
            input=input or "",
            capture_output=True,
            text=True,
            check=False,
            timeout=_DEADLINE_SECONDS,
        )
        if done.returncode != 0:
            raise KubectlFailed(arguments, done)
        return done.stdout
