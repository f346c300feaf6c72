"""The one node of a test run, started when the first test asks for it."""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from scripts.images import Images, build_images
from scripts.images.cache import Cache
from tests.cluster import launch, places
from tests.cluster.handle import Cluster, attach
from tests.cluster.launch import Parts
from tests.cluster.people import Person, served_model
from tests.cluster.periods import Periods
from tests.cluster.places import Place
from tests.cluster.product import Product, installed
from tests.fakes.anthropic import FakeAnthropic


@pytest.fixture(scope="session")
def cluster_parts() -> Parts:
    """What clusters are made of; without root, skips, and fails where CI must have it."""
    if os.geteuid() != 0:
        if os.environ.get("CI") == "true":
            pytest.fail("needs root, and CI runs these tests always")
        pytest.skip("needs root")
    return launch.get_parts(os.environ, tell)


@pytest.fixture(scope="session")
def cluster(cluster_parts: Parts) -> Iterator[Cluster]:
    """A ready node with nothing on it; it ends with this process, however that ends."""
    place = new_place("test")
    process = launch.launch(place, cluster_parts, periods=Periods(), is_tied=True, say=tell)
    yield attach(place, cluster_parts.tools["kubectl"])
    launch.finish(process)


@pytest.fixture(scope="session")
def product_images(cluster: Cluster) -> Images:
    """The project's two images, of the code as it is, on the node."""
    images = build_images(Cache.from_environment(os.environ), environment=os.environ, say=tell)
    asyncio.run(cluster.load(*(image.archive for image in images)))
    return images


@pytest.fixture(scope="session")
def product(cluster: Cluster, product_images: Images) -> Iterator[Product]:
    """RepoBridge, installed with the chart; it serves a namespace of its own.

    Claims that a test leaves there stay: no other test may use the name of its bridge.
    """
    with installed(cluster, product_images) as product:
        yield product


@pytest.fixture
async def model(cluster: Cluster) -> AsyncIterator[FakeAnthropic]:
    """The imitation of the model's API, where pods reach it."""
    async with served_model(cluster) as api:
        yield api


@pytest.fixture
async def person(
    product: Product, model: FakeAnthropic, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Person]:
    """Somebody whose bridges may have the Secret `anthropic`; they go with the test."""
    somebody = Person(product, tmp_path)
    if getattr(request.node, "execution_count", 1) > 1:  # it failed: nothing of that is to be left
        await somebody.kubectl("delete", "pvc,secrets", "--all", "--timeout=100s")
    await somebody.give_key("anthropic", model)
    yield somebody
    await somebody.kubectl("delete", "repobridges", "--all", "--timeout=60s")


@pytest.fixture
async def namespace(cluster: Cluster) -> AsyncIterator[str]:
    """A fresh namespace with restricted Pod Security; it goes with what is in it."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    await cluster.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    )
    yield name
    await cluster.kubectl("delete", "namespace", name, "--wait=false")


def new_place(purpose: str) -> Place:
    """A place of a name that no other run has, so that runs may go side by side."""
    return Place(places.clusters_root(os.environ), f"{purpose}-{uuid.uuid4().hex[:8]}")


def tell(line: str) -> None:
    """For pytest to show where a test fails."""
    sys.stderr.write(f"cluster: {line}\n")
