"""What the operator writes for one bridge, from its creation until its runner serves.

Everything is real but the node: the pod is said to run when the bridge's own runner, behind mutual
TLS, does, and to be ready once it serves. Counted by the API server's audit log: every create,
update, patch and delete of the operator's account, statuses and events included. Its Lease and the
Secrets of its CA are no bridge's.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from benchmarks.apiplace import ApiPlace, api_place
from benchmarks.bare_objects import BareObjects
from benchmarks.benchmark import Benchmark, Setting
from benchmarks.measure import Pairs, Samples
from benchmarks.result import COUNT, Comparison, Row, at_most
from tests.apiserver.harness import ADMIN
from tests.apiserver.operators import Operator
from tests.apiserver.test_operator import Place, in_phase
from tests.apiserver.test_operator_runners import Team
from tests.fakes.fates import Running
from tests.fakes.kubelet import run_kubelet
from tests.fakes.scripted_claude.installed import ScriptedClaude

_BRIDGES = 3
_GOAL = 8
_BRIDGE = "one"
_PATIENCE_SECONDS = 120.0
_POLL_SECONDS = 0.05
_ANSWERS = 2


async def run(setting: Setting) -> Sequence[Row]:
    """Each bridge is made asleep and then woken, which takes more writes than one made awake."""
    ours: list[Counter[str]] = []
    by_hand: list[float] = []
    async with api_place(setting.directory) as place:
        for number in range(_BRIDGES):
            directory = setting.directory / str(number)
            directory.mkdir()
            written, objects = await _ours(place, f"writes-{number}", directory)
            ours.append(written)
            by_hand.append(await _by_hand(place, f"hand-{number}", objects))
    totals = Samples(tuple(float(each.total()) for each in ours))
    median = next(each for each in ours if each.total() == totals.p50)
    return [
        Row(
            f"writes of a bridge from create to ready ({_parts(median)})",
            Pairs(totals, Samples(tuple(by_hand))),
            COUNT,
            Comparison.NONE,
            goal=at_most(_GOAL),
            baseline_name="kubectl apply of its pod, claim, Secret and policy",
        )
    ]


async def _ours(
    place: ApiPlace, namespace: str, directory: Path
) -> tuple[Counter[str], BareObjects]:
    room = await place.room(namespace)
    async with (
        run_kubelet(place.admin, namespace=namespace) as kubelet,
        room.operator() as operator,
    ):
        kubelet.fate = lambda pod: Running(ready=False)
        team = Team(place.admin, namespace, kubelet, ScriptedClaude(directory / "agent"), directory)
        await operator.leads()
        bridge = await team.make()
        await team.place.until(in_phase("Asleep"))
        asleep = await BareObjects.of(team.place, _BRIDGE)
        await team.place.scale(1)
        objects = asleep.awake(await team.place.pod())
        async with team.runner(bridge):
            kubelet.fate = lambda pod: Running()
            kubelet.reconsider()
            await team.place.until(in_phase("Ready"))
            await _asked(operator)
            return await room.written(), objects


async def _asked(operator: Operator) -> None:
    """Waits until the runner itself has said twice that it serves, and that is written."""
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while (
            await operator.metric(
                "repobridge_operator_sleep_actions_total", action="activity", outcome="ok"
            )
            < _ANSWERS
        ):
            await asyncio.sleep(_POLL_SECONDS)


async def _by_hand(place: ApiPlace, namespace: str, objects: BareObjects) -> float:
    """How many writes a person causes who applies the same."""
    bare: Place = await place.namespace(namespace)
    since = await place.apiserver.audit.position()
    manifests = {"apiVersion": "v1", "kind": "List", "items": objects.by_hand(_BRIDGE)}
    # The client's own validation reads a large document first, for which a busy server takes long.
    apply = ("apply", "--namespace", bare.namespace, "--validate=false", "-f", "-")
    await place.kubectl(*apply, input=json.dumps(manifests))
    asked = await place.apiserver.audit.writes_by(ADMIN, since=since)
    return float(sum(each.namespace == bare.namespace for each in asked))


def _parts(written: Counter[str]) -> str:
    return ", ".join(f"{times} × {what}" for what, times in sorted(written.items()))


BENCHMARK = Benchmark(
    name="writes",
    about="the operator's writes for a bridge, by the audit log, against kubectl's by hand",
    run=run,
)
