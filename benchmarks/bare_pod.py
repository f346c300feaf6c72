"""The same steps by hand: a bare pod of the session-runner's image, and the bare CLI in it.

The pod is made by the request that `kubectl run` would send, and has the resources of a bridge's
pod, but no volume, no Secret, no certificate, no probe and no runner.
"""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from benchmarks.node import Node
from benchmarks.sightings import GONE, sightings
from benchmarks.woken import is_placed, is_told
from tests.apiserver.rest import Object

_MODULES = (
    "benchmarks",
    "benchmarks.process_start",
    "benchmarks.hook_sink",
    "benchmarks.bare_claude",
)
_ENTRY = "benchmarks.bare_pod_entry"
_VARIABLE = "BENCHMARK_MODULES"
_BEGIN = f"""
import json, os, sys, types
for name, source in json.loads(os.environ.pop("{_VARIABLE}")):
    module = types.ModuleType(name)
    module.__path__ = []
    sys.modules[name] = module
    module.__name__ = "__main__" if name == "{_ENTRY}" else name
    exec(compile(source, name, "exec"), vars(module))
"""
"""Modules from their texts, in the order in which they import each other; the last is the entry."""
_HERE = Path(__file__).parent
_PLACED, _TOLD, _ENDED = "placed", "told", "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bare:
    """When each step was done, in seconds after the pod was sent to the API server."""

    made: float
    """The API server took it."""
    placed: float
    began: float
    told: float
    """The kubelet told the pod's address, and that its container runs."""
    cli: float
    """How long the CLI took from its start until it stood at its prompt."""

    @property
    def ready(self) -> float:
        """When a person who waits for the pod, and starts the CLI then, has its prompt."""
        return self.told + self.cli


async def bare_pod(node: Node, resources: Object) -> Bare:
    """Makes a bare pod, has the CLI started in it, and removes the pod."""
    name = f"bare-{uuid.uuid4().hex[:8]}"
    facts = {_PLACED: is_placed, _TOLD: is_told, _ENDED: _has_ended}
    async with sightings(node.api, {node.bare_pods: facts}) as seen:
        started = time.perf_counter()
        await node.api.create(node.bare_pods, _make(node, name, resources))
        made = time.perf_counter()
        told = await seen.first(_TOLD, name)
        await seen.first(_ENDED, name)
        said = _said(await node.api.get(f"{node.bare_pods}/{name}"))
        placed = await seen.first(_PLACED, name)
        await node.api.delete(f"{node.bare_pods}/{name}")
        await seen.first(GONE, name)
    return Bare(
        made=made - started,
        placed=placed - started,
        began=said["began"] - started,
        told=told - started,
        cli=said["seconds"],
    )


def _make(node: Node, name: str, resources: Object) -> Object:
    variables = {
        "ANTHROPIC_API_KEY": node.model.key,
        "ANTHROPIC_BASE_URL": node.model.base_url,
        _VARIABLE: json.dumps([(each, _source(each)) for each in (*_MODULES, _ENTRY)]),
    }
    container = {
        "name": "main",
        "image": node.image,
        "imagePullPolicy": "Never",
        "command": ["python", "-c", _BEGIN],
        "env": [{"name": key, "value": _literal(text)} for key, text in variables.items()],
        "resources": resources,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 1,
            "containers": [container],
        },
    }


def _source(module: str) -> str:
    _, _, name = module.partition(".")
    return (_HERE / f"{name or '__init__'}.py").read_text(encoding="utf-8")


def _literal(text: str) -> str:
    """The kubelet expands `$(NAME)` in values."""
    return text.replace("$", "$$")


def _has_ended(pod: Object) -> bool:
    return pod["status"].get("phase") in {"Succeeded", "Failed"}


def _said(pod: Object) -> dict[str, float]:
    (status,) = pod["status"]["containerStatuses"]
    ended = status["state"]["terminated"]
    assert ended["exitCode"] == 0, ended
    said: dict[str, float] = json.loads(ended["message"])
    return said
