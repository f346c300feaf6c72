"""A real node with RepoBridge on it, installed by its chart, for the time of a benchmark.

Around it stand the imitation of the model's API, a client of the API server, and the certificate
with which a gateway reaches the pods.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import ssl
import subprocess
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import aiohttp
import grpc
import yaml

from benchmarks.benchmark import LeftOut, Setting
from repobridge import crd, tls
from repobridge.tls_files import BUNDLE_FILE, CERTIFICATE_FILE, KEY_FILE, TlsMaterial
from scripts.images import Images, build_images
from scripts.images.cache import Cache
from tests.apiserver.rest import Rest, RestError
from tests.cluster import launch, places
from tests.cluster.handle import Cluster, attach
from tests.cluster.people import served_model
from tests.cluster.periods import Periods
from tests.cluster.places import Place
from tests.cluster.product import SERVED, SYSTEM, Product, installed
from tests.fakes.anthropic import FakeAnthropic, Text

CREDENTIALS = "anthropic"
"""The Secret with which sessions reach their model."""
BARE = "bare"
"""The namespace of what is made by hand: nothing is asked of its pods."""
_GATEWAY_SECRET = f"/api/v1/namespaces/{SYSTEM}/secrets/repobridge-gateway-tls"
_OPERATOR_CPU = "50m"
_LINE_BYTES = 1 << 22
_PATIENCE_SECONDS = 60.0
_LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What wakes are measured with."""

    cluster: Cluster
    product: Product
    image: str
    """The session-runner's, which a bare pod runs too."""
    api: Rest
    model: FakeAnthropic
    gateway: grpc.ChannelCredentials

    @property
    def pods(self) -> str:
        """The path of the bridges' pods."""
        return f"/api/v1/namespaces/{self.product.namespace}/pods"

    @property
    def bare_pods(self) -> str:
        """The path of the pods that are made by hand."""
        return f"/api/v1/namespaces/{BARE}/pods"

    @property
    def bridges(self) -> str:
        """The path of the bridges."""
        return f"/apis/{crd.API_VERSION}/namespaces/{self.product.namespace}/repobridges"


@asynccontextmanager
async def node(setting: Setting) -> AsyncIterator[Node]:
    """A fresh node, removed whole at the end; raises LeftOut where nobody may make one."""
    if os.geteuid() != 0:
        raise LeftOut("a node needs root, as it makes namespaces, mounts and control groups.")

    def say(line: str) -> None:
        setting.say(f"  {line}")

    async with AsyncExitStack() as stack:
        # Started from this thread, though that blocks the loop: so no interrupt can come between
        # the start and the promise to end it. Nothing else runs yet.
        cluster = stack.enter_context(_cluster(setting, say))
        images = build_images(
            Cache.from_environment(setting.environment), environment=setting.environment, say=say
        )
        say("loading the images, installing the chart")
        await cluster.load(*(image.archive for image in images))
        product = await _install(stack, cluster, images)
        model = await stack.enter_async_context(served_model(cluster))
        model.script(lambda _: Text("An answer of one line.\n"))
        api = Rest(await stack.enter_async_context(_session(cluster)))
        found = Node(
            cluster=cluster,
            product=product,
            image=images.session_runner.name,
            api=api,
            model=model,
            gateway=await _gateway(api),
        )
        await _prepare(found)
        yield found


@contextlib.contextmanager
def _cluster(setting: Setting, say: launch.Say) -> Iterator[Cluster]:
    parts = launch.get_parts(setting.environment, say)
    place = Place(places.clusters_root(setting.environment), f"bench-{uuid.uuid4().hex[:8]}")
    process = launch.launch(place, parts, periods=Periods(), is_tied=True, say=say)
    try:
        yield attach(place, parts.tools["kubectl"])
    finally:
        _end(process, place)


def _end(process: subprocess.Popen[bytes], place: Place) -> None:
    launch.finish(process)
    assert not place.directory.exists(), f"{place.directory} is left"


async def _install(stack: AsyncExitStack, cluster: Cluster, images: Images) -> Product:
    # It waits with loops of its own, so it needs a thread of its own.
    entered = installed(cluster, images)
    product = await asyncio.to_thread(entered.__enter__)
    stack.push_async_callback(asyncio.to_thread, entered.__exit__, None, None, None)
    # Tests make do with less: this is what the chart reserves, and ten agents that start at once
    # leave it no more.
    operator = (f"--namespace={SYSTEM}", "deployment/repobridge-operator")
    await cluster.kubectl("set", "resources", *operator, f"--requests=cpu={_OPERATOR_CPU}")
    await cluster.kubectl("rollout", "status", *operator, "--timeout=60s", seconds=70)
    return product


@asynccontextmanager
async def _session(cluster: Cluster) -> AsyncIterator[aiohttp.ClientSession]:
    (known,) = yaml.safe_load(cluster.kubeconfig.read_text())["clusters"]
    own: Path = cluster.inner_kubeconfig.parent
    secured = ssl.create_default_context(cafile=str(own / "ca.crt"))
    secured.load_cert_chain(own / "admin.crt", own / "admin.key")
    async with aiohttp.ClientSession(
        known["cluster"]["server"],
        connector=aiohttp.TCPConnector(ssl=secured, limit=0),
        read_bufsize=_LINE_BYTES,
    ) as session:
        yield session


async def _prepare(node: Node) -> None:
    api, model = node.api, node.model
    await api.create("/api/v1/namespaces", {"metadata": {"name": BARE}})
    await api.wait_for(f"/api/v1/namespaces/{BARE}/serviceaccounts", "default", bool)
    secret = {
        "metadata": {"name": CREDENTIALS},
        "stringData": {"ANTHROPIC_API_KEY": model.key, "ANTHROPIC_BASE_URL": model.base_url},
    }
    await api.create(f"/api/v1/namespaces/{SERVED}/secrets", secret)
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while not await _is_served(api, node.bridges):
            await asyncio.sleep(_LOOK_SECONDS)


async def _is_served(api: Rest, collection: str) -> bool:
    """Whether the API server has made room for a kind that it has just learned of."""
    try:
        await api.get(collection)
    except RestError as error:
        if error.code != HTTPStatus.TOO_MANY_REQUESTS:
            raise
        return False
    return True


async def _gateway(api: Rest) -> grpc.ChannelCredentials:
    """What the operator made for the gateway."""
    data = (await api.get(_GATEWAY_SECRET))["data"]
    found = {name: base64.b64decode(value) for name, value in data.items()}
    return tls.client_credentials(
        TlsMaterial(
            certificate=found[CERTIFICATE_FILE], key=found[KEY_FILE], bundle=found[BUNDLE_FILE]
        )
    )
