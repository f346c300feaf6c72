"""`python -m tests.cluster up|down`: a cluster that stays, for a person to play with.

`parts` only installs and builds what clusters are made of, so that tests need not wait for it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import yaml

from repobridge import crd
from scripts.debian import NotInstalled
from scripts.images import Images, ImagesError, build_images
from scripts.images.cache import Cache
from tests.cluster import imitations, launch, places
from tests.cluster.addresses import MODEL_URL
from tests.cluster.handle import attach
from tests.cluster.periods import Periods
from tests.cluster.places import Place
from tests.cluster.plan import Plan, plan_file
from tests.cluster.probe_image import PROBE_IMAGE
from tests.clustertools.build import BuildFailed
from tests.clustertools.cache import ToolMissing, find_tool
from tests.fakes.anthropic.server import DEFAULT_KEY
from tests.fakes.discord import DEFAULT_TOKEN

Object = dict[str, Any]
_SYSTEM, _TOKEN = "repobridge-system", "discord-bot"

_TRY = """
  export KUBECONFIG={kubeconfig}
  export PATH={tools}:{helm}:{commands}:$PATH

Try: kubectl get nodes; kubectl get storageclasses
     kubectl run hello --image={image} --restart=Never -- say hello; kubectl logs hello
It has the images {control_plane} and {session_runner}, of the code as it is:
     kubectl apply -f {directory}/system.yaml
     helm install repobridge charts/repobridge -n repobridge-system --values {directory}/values.yaml
No packet leaves it, so imitations of the model's API and of Discord answer in there:
     kubectl apply -f {directory}/hello.yaml
     kubectl bridge chat hello
The same bridge in Discord's channel #hello, for a browser: {page}
Its daemons' logs: {logs}
It stays until: make cluster-down
"""


def main(arguments: list[str]) -> int:
    """Does one of the verbs; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster")
    parser.add_argument("verb", choices=["parts", "up", "down"])
    parser.add_argument("--name", default="play")
    given = parser.parse_args(arguments)
    place = Place(places.clusters_root(os.environ), given.name)
    try:
        match given.verb:
            case "parts":
                return _parts()
            case "up":
                return _up(place)
            case _:
                return _down(place)
    except (
        launch.NeedsRoot,
        launch.LaunchFailed,
        NotInstalled,
        ImagesError,
        BuildFailed,
        ToolMissing,
        places.ClusterRuns,
        places.ClusterLeft,
    ) as failure:
        _tell(str(failure))
        return 1


def _parts() -> int:
    if os.geteuid() != 0:
        _tell("Without root there is no node: tests/cluster will be skipped.")
        return 0
    launch.get_parts(os.environ, _tell)
    _build_images()
    return 0


def _build_images() -> Images:
    return build_images(Cache.from_environment(os.environ), environment=os.environ, say=_tell)


def _up(place: Place) -> int:
    parts = launch.get_parts(os.environ, _tell)
    images = _build_images()
    try:
        launch.launch(
            place, parts, periods=Periods(), is_tied=False, say=_tell, has_imitations=True
        )
        _tell("loading the project's images")
        cluster = attach(place, parts.tools["kubectl"])
        asyncio.run(cluster.load(*(image.archive for image in images)))
    except places.ClusterRuns as held:
        _tell(f"{held} Use it with what follows, or end it with: make cluster-down")
    _write_prepared(place, images)
    sys.stdout.write(
        _TRY.format(
            kubeconfig=place.kubeconfig,
            tools=parts.tools["kubectl"].parent,
            helm=find_tool("helm").parent,
            commands=Path(sys.executable).parent,
            image=PROBE_IMAGE,
            control_plane=images.control_plane.name,
            session_runner=images.session_runner.name,
            directory=place.directory,
            page=f"http://127.0.0.1:{Plan.parse(plan_file(place).read_text()).page_port}/",
            logs=place.logs,
        )
    )
    return 0


def _write_prepared(place: Place, images: Images) -> None:
    """What a person applies there, by the name of its file."""
    discord = imitations.told(place)
    for name, objects in {
        "system.yaml": _make_system(),
        "values.yaml": (_make_values(images, api_base=discord["api"]),),
        "hello.yaml": _make_sample(
            channel=discord[f"channel {imitations.CHANNEL}"], role=discord["role approver"]
        ),
    }.items():
        (place.directory / name).write_text(yaml.safe_dump_all(objects, sort_keys=False))


def _make_system() -> tuple[Object, ...]:
    """What the chart does not make: its namespace, and the bot's token."""
    return (
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _SYSTEM}},
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": _TOKEN, "namespace": _SYSTEM},
            "stringData": {"token": DEFAULT_TOKEN},
        },
    )


def _make_values(images: Images, *, api_base: str) -> Object:
    registry, _, tagged = images.control_plane.name.rpartition("/")
    return {
        "images": {"registry": registry, "tag": tagged.partition(":")[2]},
        "gateway": {
            "enabled": True,
            "discord": {"tokenSecretRef": {"name": _TOKEN}, "apiBase": api_base},
        },
    }


def _make_sample(*, channel: str, role: str) -> tuple[Object, ...]:
    """A first bridge, without a repository, as there is none within reach."""
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "anthropic"},
        "stringData": {"ANTHROPIC_API_KEY": DEFAULT_KEY, "ANTHROPIC_BASE_URL": MODEL_URL},
    }
    bridge = {
        "apiVersion": crd.API_VERSION,
        "kind": crd.KIND,
        "metadata": {"name": "hello"},
        "spec": {
            "agent": {"credentialsSecretRef": {"name": "anthropic"}},
            "workspace": {"size": "1Gi"},
            "discord": {"channelId": channel},
            "access": [{"roleId": role, "permissions": ["prompt", "approve", "manage"]}],
        },
    }
    return secret, bridge


def _down(place: Place) -> int:
    _tell("The cluster is gone." if launch.end(place) else "No cluster ran.")
    return 0


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
