"""The operator's calls against a real API server, and what each kind of failure becomes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from repobridge_operator.cluster import (
    Call,
    Cluster,
    ClusterError,
    Conflict,
    Gone,
    NotFound,
    Refused,
    Resource,
    Throttled,
    Unavailable,
)
from tests.apiserver.access import User
from tests.apiserver.conftest import MakeUser
from tests.apiserver.rest import Rest
from tests.fakes.api_proxy import ApiProxy

RULES = [
    {
        "apiGroups": [""],
        "resources": ["persistentvolumeclaims", "secrets", "pods"],
        "verbs": ["*"],
    }
]
MODES = ["ReadWriteOnce"]


@pytest.fixture
async def user(make_limited_user: MakeUser, api_proxy: ApiProxy) -> User:
    return (await make_limited_user("caller", RULES)).at(api_proxy.url)


@pytest.fixture
def calls() -> list[Call]:
    return []


@pytest.fixture
async def cluster(user: User, calls: list[Call]) -> AsyncIterator[Cluster]:
    async with user.client() as client:
        yield Cluster(client, read_seconds=60.0, write_seconds=60.0, told=calls.append)


def make_claim(namespace: str, storage: str = "1Gi", **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "one", "namespace": namespace, **metadata},
        "spec": {"accessModes": MODES, "resources": {"requests": {"storage": storage}}},
    }


async def test_applies_only_what_is_named_and_takes_back_what_is_not(
    cluster: Cluster, namespace: str, calls: list[Call]
) -> None:
    made = await cluster.apply(
        Resource.CLAIM, make_claim(namespace, labels={"a": "1", "b": "2"}, finalizers=[])
    )
    again = await cluster.apply(Resource.CLAIM, make_claim(namespace, labels={"a": "1"}))
    assert again["metadata"]["labels"] == {"a": "1"}
    assert again["metadata"]["uid"] == made["metadata"]["uid"]
    assert await cluster.get(Resource.CLAIM, namespace, "one") == again
    assert calls == [
        Call(verb="apply", resource=Resource.CLAIM, outcome="Ok"),
        Call(verb="apply", resource=Resource.CLAIM, outcome="Ok"),
        Call(verb="get", resource=Resource.CLAIM, outcome="Ok"),
    ]


async def test_with_a_uid_no_other_object_is_touched(cluster: Cluster, namespace: str) -> None:
    with pytest.raises(Conflict):
        await cluster.apply(Resource.CLAIM, make_claim(namespace, uid="another"))
    with pytest.raises(NotFound):
        await cluster.get(Resource.CLAIM, namespace, "one")


async def test_the_metadata_of_a_secret_comes_without_what_is_in_it(
    cluster: Cluster, namespace: str, admin: Rest
) -> None:
    secret = {"metadata": {"name": "one"}, "stringData": {"password": "hidden"}}
    await admin.create(f"/api/v1/namespaces/{namespace}/secrets", secret)
    found = await cluster.metadata(Resource.SECRET, namespace, "one")
    assert (found["kind"], found["metadata"]["name"]) == ("PartialObjectMetadata", "one")
    assert "hidden" not in str(found)
    assert "data" not in found


async def test_pages_give_everything_that_is_selected(
    cluster: Cluster, namespace: str, admin: Rest
) -> None:
    for number in range(110):
        metadata = {"name": f"s{number}", "labels": {"odd": str(number % 2)}}
        await admin.create(f"/api/v1/namespaces/{namespace}/secrets", {"metadata": metadata})
    sizes = [len(page) async for page in cluster.pages(Resource.SECRET, namespace)]
    assert sizes == [100, 10]
    odd = [page async for page in cluster.pages(Resource.SECRET, namespace, selector="odd=1")]
    assert [len(page) for page in odd] == [55]
    one = [
        each["metadata"]["name"]
        async for page in cluster.pages(Resource.SECRET, namespace, fields="metadata.name=s7")
        for each in page
    ]
    assert one == ["s7"]


async def test_deletes_this_very_object_only(cluster: Cluster, namespace: str) -> None:
    made = (await cluster.create(Resource.CLAIM, make_claim(namespace)))["metadata"]
    for wrong in ({"uid": "another"}, {"uid": made["uid"], "resource_version": "1"}):
        with pytest.raises(Conflict):
            await cluster.delete(Resource.CLAIM, namespace, "one", **wrong)
    await cluster.delete(
        Resource.CLAIM,
        namespace,
        "one",
        uid=made["uid"],
        resource_version=made["resourceVersion"],
    )
    with pytest.raises(NotFound):
        await cluster.delete(Resource.CLAIM, namespace, "gone", uid=made["uid"])


async def test_what_exists_is_not_made_again(cluster: Cluster, namespace: str) -> None:
    await cluster.create(Resource.CLAIM, make_claim(namespace))
    with pytest.raises(Conflict) as caught:
        await cluster.create(Resource.CLAIM, make_claim(namespace))
    assert caught.value.exists


async def test_a_version_that_was_overtaken_is_a_conflict(cluster: Cluster, namespace: str) -> None:
    manifest = {"metadata": {"name": "one", "namespace": namespace}, "type": "Opaque"}
    made = await cluster.create(Resource.SECRET, manifest)
    older = {**manifest, "metadata": {**made["metadata"]}}
    changed = {**older, "data": {"a": "eA=="}}
    await cluster.replace(Resource.SECRET, changed)
    with pytest.raises(Conflict) as caught:
        await cluster.replace(Resource.SECRET, older)
    assert not caught.value.exists


async def test_a_refusal_says_why_in_the_servers_words(cluster: Cluster, namespace: str) -> None:
    with pytest.raises(Refused) as invalid:
        await cluster.apply(Resource.CLAIM, make_claim(namespace, storage="-1Gi"))
    assert (invalid.value.reason, invalid.value.causes) == ("Invalid", ("FieldValueInvalid",))
    assert "must be greater than zero" in invalid.value.message
    with pytest.raises(Refused) as forbidden:
        await cluster.get(Resource.POLICY, namespace, "one")
    assert forbidden.value.reason == "Forbidden"
    assert 'cannot get resource "networkpolicies"' in str(forbidden.value)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (401, Unavailable),
        (404, NotFound),
        (409, Conflict),
        (410, Gone),
        (422, Refused),
        (500, Unavailable),
        (503, Unavailable),
        (504, Unavailable),
    ],
)
async def test_each_code_becomes_one_of_few_errors(
    *,
    cluster: Cluster,
    namespace: str,
    api_proxy: ApiProxy,
    code: int,
    error: type[ClusterError],
    calls: list[Call],
) -> None:
    reason = "Unauthorized" if code == 401 else None
    api_proxy.refuse(code, path="/secrets", reason=reason)
    with pytest.raises(error) as caught:
        await cluster.get(Resource.SECRET, namespace, "one")
    assert type(caught.value) is error
    assert str(caught.value) == "refused by a test"
    assert calls == [Call(verb="get", resource=Resource.SECRET, outcome=error.__name__)]


@pytest.mark.parametrize(("told", "seconds"), [(7, 7.0), (None, 1.0), (0, 1.0), (9999, 120.0)])
async def test_how_long_to_wait_is_what_the_server_says_within_reason(
    *,
    cluster: Cluster,
    namespace: str,
    api_proxy: ApiProxy,
    told: int | None,
    seconds: float,
) -> None:
    api_proxy.refuse(429, path="/secrets", retry_after_seconds=told)
    with pytest.raises(Throttled) as caught:
        await cluster.get(Resource.SECRET, namespace, "one")
    assert caught.value.retry_after_seconds == seconds


async def test_a_call_that_hangs_or_is_cut_off_ends_within_its_deadline(
    cluster: Cluster, user: User, namespace: str, api_proxy: ApiProxy
) -> None:
    api_proxy.hang(path="/secrets")
    async with user.client() as client:
        with pytest.raises(Unavailable, match=r"did not answer within 1 s"):
            await Cluster(client, read_seconds=1.0).get(Resource.SECRET, namespace, "one")
    api_proxy.cut(method="POST")
    with pytest.raises(Unavailable, match="can't be reached"):
        await cluster.create(Resource.CLAIM, make_claim(namespace))
    assert [page async for page in cluster.pages(Resource.CLAIM, namespace)] == [[]]


async def test_nothing_is_written_behind_the_fence(
    user: User, namespace: str, api_proxy: ApiProxy
) -> None:
    def fence() -> None:
        raise PermissionError("somebody else leads")

    async with user.client() as client:
        cluster = Cluster(client, fence=fence)
        with pytest.raises(PermissionError):
            await cluster.create(Resource.CLAIM, make_claim(namespace))
        assert [page async for page in cluster.pages(Resource.CLAIM, namespace)] == [[]]
    assert {seen.method for seen in api_proxy.seen} == {"GET"}
