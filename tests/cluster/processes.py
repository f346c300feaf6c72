"""Processes of pods as the machine numbers them, for what happens to one on the node alone."""

from __future__ import annotations

from pathlib import Path

from tests.cluster import cgroups
from tests.cluster.handle import Cluster


async def first_process(cluster: Cluster, pod: str, *, namespace: str) -> int:
    """The pid of what the pod's only container has started with."""
    found = await cluster.get(f"--namespace={namespace}", "pod", pod)
    (container,) = found["status"]["containerStatuses"]
    name = container["containerID"].partition("://")[2]
    for group in cgroups.groups(cluster.place.name):
        for members in group.rglob(f"{name}/cgroup.procs"):
            for pid in members.read_text().split():
                if _number_inside(pid) == "1":
                    return int(pid)
    raise AssertionError(f"the container of {pod} has no process: {container}")


def _number_inside(pid: str) -> str:
    """The number that a process has in its innermost namespace."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line for line in lines if line.startswith("NSpid:")).split()[-1]
