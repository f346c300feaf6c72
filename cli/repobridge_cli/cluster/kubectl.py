"""Runs kubectl, which brings the person's own credentials, contexts and plugins."""

from __future__ import annotations

import asyncio
import re
import shutil
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from dataclasses import dataclass

from repobridge_gateway.fleet.observed import ClusterError

_PREFIX = re.compile(r"^(?:error:|Error from server(?: \(\w+\))?:) ")
_LINE_BYTES = 16 << 20
"""A RepoBridge is at most 1.5 MiB, and the default of asyncio is 64 KiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubectl:
    """kubectl with the options that say which cluster and namespace; empty: as it is set up."""

    namespace: str = ""
    context: str = ""
    kubeconfig: str = ""

    def command(self, *arguments: str) -> list[str]:
        """The whole command line; raises ClusterError where there is no kubectl."""
        program = shutil.which("kubectl")
        if program is None:
            raise ClusterError(
                "kubectl is not installed; see https://kubernetes.io/docs/tasks/tools/"
            )
        options = {
            "--kubeconfig": self.kubeconfig,
            "--context": self.context,
            "--namespace": self.namespace,
        }
        given = (f"{name}={value}" for name, value in options.items() if value)
        return [program, *given, *arguments]

    async def start(self, *arguments: str, stdin: int = DEVNULL) -> Process:
        """Starts a command whose output is read as it comes."""
        return await asyncio.create_subprocess_exec(
            *self.command(*arguments),
            stdin=stdin,
            stdout=PIPE,
            stderr=PIPE,
            limit=_LINE_BYTES,
            # Ctrl-C is for the conversation, and must not cut what it goes through.
            start_new_session=True,
        )

    async def run(self, *arguments: str) -> bytes:
        """Runs a command to its end and returns its output; raises ClusterError with its words."""
        process = await self.start(*arguments)
        try:
            out, err = await process.communicate()
        finally:
            await end(process)
        if process.returncode:
            raise ClusterError(words_of(err))
        return out


async def end(process: Process) -> None:
    """Ends a command that still runs."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def words_of(error: bytes) -> str:
    """The last thing that kubectl said, as a sentence."""
    lines = [line.strip() for line in error.decode(errors="replace").splitlines() if line.strip()]
    last = lines[-1] if lines else "kubectl failed and said nothing."
    return _PREFIX.sub("", last)
