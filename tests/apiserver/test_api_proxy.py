"""The failing proxy: untouched it changes nothing, and each fault is what its name says."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import aiohttp
import pytest

from tests.apiserver.access import User
from tests.apiserver.conftest import MakeUser
from tests.apiserver.harness import ApiServer, start_api_server
from tests.apiserver.kubectl import Kubectl, KubectlFailed
from tests.apiserver.rest import Object, Rest, RestError, connect
from tests.fakes.api_proxy import ApiProxy, Seen, serve

RULES = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]}]


@pytest.fixture
async def user(make_limited_user: MakeUser, api_proxy: ApiProxy) -> User:
    """Someone who asks through the proxy."""
    return (await make_limited_user("someone", RULES)).at(api_proxy.url)


@pytest.fixture
def path(namespace: str) -> str:
    """The collection that the tests work on."""
    return f"/api/v1/namespaces/{namespace}/configmaps"


async def test_passes_everything_on(user: User, path: str, apiserver: ApiServer) -> None:
    kubectl = Kubectl(user.kubeconfig, home=apiserver.directory)
    namespace = path.split("/")[4]
    created = await kubectl(
        "create", "configmap", "a", "--from-literal=k=ü %2F", "--namespace", namespace
    )
    assert created == "configmap/a created\n"
    shown = await kubectl("get", "configmap", "a", "-n", namespace, "-o", "jsonpath={.data.k}")
    assert shown == "ü %2F"
    async with user.rest() as rest:
        found = await rest.get(path, fieldSelector="metadata.name=a")
        assert [one["data"] for one in found["items"]] == [{"k": "ü %2F"}]
        with pytest.raises(RestError) as caught:
            await rest.get("/api/v1/secrets")
        assert caught.value.code == 403


async def test_refuses_as_often_as_asked(user: User, path: str, api_proxy: ApiProxy) -> None:
    fault = api_proxy.refuse(500, method="POST", path="/configmaps$", times=2)
    async with user.rest() as rest:
        for _ in range(2):
            with pytest.raises(RestError) as caught:
                await rest.create(path, {"metadata": {"name": "a"}})
            assert (caught.value.code, caught.value.reason) == (500, "InternalError")
        assert (await rest.get(path))["kind"] == "ConfigMapList"
        assert fault.used.is_set()
        await rest.create(path, {"metadata": {"name": "a"}})
    assert api_proxy.seen[-1] == Seen("POST", path, is_watch=False)


async def test_a_refusal_for_overload_says_when_to_come_back(
    user: User, path: str, api_proxy: ApiProxy, apiserver: ApiServer
) -> None:
    api_proxy.refuse(429, path=path, retry_after_seconds=1)
    kubectl = Kubectl(user.kubeconfig, home=apiserver.directory)
    # kubectl waits for Retry-After and asks again.
    assert await kubectl("get", "--raw", path)
    assert [seen.path for seen in api_proxy.seen] == [path, path]


async def test_a_conflict_has_the_reason_that_clients_look_for(
    user: User, path: str, api_proxy: ApiProxy
) -> None:
    api_proxy.refuse(409, method="PATCH")
    async with user.rest() as rest:
        await rest.create(path, {"metadata": {"name": "a"}})
        with pytest.raises(RestError) as caught:
            await rest.merge(f"{path}/a", {"data": {"k": "v"}})
    assert caught.value.reason == "Conflict"


@pytest.mark.parametrize("carried_out", [False, True])
async def test_a_cut_request_was_carried_out_or_not(
    user: User, path: str, api_proxy: ApiProxy, admin: Rest, carried_out: bool
) -> None:
    api_proxy.cut(method="POST", carried_out=carried_out)
    async with user.rest() as rest:
        with pytest.raises(aiohttp.ClientConnectionError):
            await rest.create(path, {"metadata": {"name": "a"}})
    names = [one["metadata"]["name"] for one in (await admin.get(path))["items"]]
    assert ("a" in names) is carried_out


async def test_a_hanging_request_is_not_passed_on(
    user: User, path: str, api_proxy: ApiProxy, admin: Rest
) -> None:
    fault = api_proxy.hang(method="POST")
    async with user.rest() as rest:
        asked = asyncio.ensure_future(rest.create(path, {"metadata": {"name": "a"}}))
        await fault.used.wait()
        assert not asked.done()
        asked.cancel()
        await asyncio.wait([asked])
    names = [one["metadata"]["name"] for one in (await admin.get(path))["items"]]
    assert "a" not in names


async def test_an_expired_watch_ends_with_410(user: User, path: str, api_proxy: ApiProxy) -> None:
    api_proxy.expire_watches(path=path)
    async with user.rest() as rest:
        with pytest.raises(RestError) as caught:
            await anext(rest.watch(path, since="0"))
    assert (caught.value.code, caught.value.reason) == (410, "Expired")


async def test_a_watch_passes_events_at_once_until_it_is_cut(
    user: User, path: str, api_proxy: ApiProxy, admin: Rest
) -> None:
    async with user.rest() as rest:
        since = await version(rest, path)
        async with aclosing(rest.watch(path, since=since)) as events:
            await admin.create(path, {"metadata": {"name": "a"}})
            assert name_of(await anext(events)) == "a"
            assert api_proxy.watches(path=path) == 1
            assert api_proxy.cut_watches(path="/secrets") == 0
            assert api_proxy.cut_watches(path=path) == 1
            with pytest.raises(aiohttp.ClientError):
                await anext(events)


async def test_a_silent_watch_tells_nothing_and_stays_open(
    user: User, path: str, api_proxy: ApiProxy, admin: Rest
) -> None:
    async with user.rest() as rest:
        since = await version(rest, path)
        async with (
            aclosing(rest.watch(path, since=since, timeoutSeconds="4")) as silenced,
            aclosing(admin.watch(path, since=since, timeoutSeconds="4")) as direct,
        ):
            with api_proxy.silence_watches(path=path):
                first = asyncio.ensure_future(anext(silenced))
                await admin.create(path, {"metadata": {"name": "a"}})
                # The API server has told it, and even ended the watch, which nobody hears.
                assert [name_of(event) async for event in direct] == ["a"]
                assert not first.done()
                assert (await rest.get(path))["kind"] == "ConfigMapList"
            assert name_of(await first) == "a"


async def test_a_gone_api_server_is_a_cut_connection() -> None:
    with start_api_server() as server:
        pair = server.authority.issue_for_loopback("proxy")
        async with (
            serve(
                server.url,
                ca_file=server.ca_file,
                certificate=pair.certificate,
                key=pair.key,
            ) as proxy,
            connect(url=proxy.url, ca_file=server.ca_file, token=server.token) as rest,
        ):
            path = "/api/v1/namespaces/default/configmaps"
            async with aclosing(rest.watch(path, since=await version(rest, path))) as events:
                await rest.create(path, {"metadata": {"name": "a"}})
                assert name_of(await anext(events)) == "a"
                server.interrupt()
                with pytest.raises(aiohttp.ClientError):
                    await anext(events)
            with pytest.raises(aiohttp.ClientConnectionError):
                await rest.get(path)


async def test_kubectl_reports_a_refusal_as_the_servers_own(
    user: User, path: str, api_proxy: ApiProxy, apiserver: ApiServer
) -> None:
    api_proxy.refuse(403, path="/configmaps", message='admission webhook "x" denied the request')
    kubectl = Kubectl(user.kubeconfig, home=apiserver.directory)
    with pytest.raises(KubectlFailed) as caught:
        await kubectl("get", "configmaps", "--namespace", path.split("/")[4])
    assert caught.value.stderr == (
        'Error from server (Forbidden): admission webhook "x" denied the request\n'
    )


async def version(rest: Rest, path: str) -> str:
    found: str = (await rest.get(path))["metadata"]["resourceVersion"]
    return found


def name_of(event: Object) -> str:
    name: str = event["object"]["metadata"]["name"]
    return name
