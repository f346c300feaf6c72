"""Settings that are read again: the last good ones are in force, whole, whatever comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import generate_latest

from repobridge import settings_file
from repobridge_gateway.metrics import GatewayMetrics
from repobridge_gateway.reloading import Reload, Reloading
from repobridge_gateway.settings import GatewaySettings

BASE = "token: made-up\nstore_directory: /var/lib/repobridge\n"
ROLE, OTHER = "2123581321345589144", "2123581321345589155"
PATIENCE_SECONDS = 120.0
NEVER_SECONDS = 3600.0


def access(role_id: str) -> str:
    return f'access: [{{roleId: "{role_id}"}}]\n'


class Stage:
    """A settings file, and what came into force of it."""

    def __init__(self, path: Path, *, look_seconds: float = 0.01) -> None:
        self.path = path
        if not path.exists():
            self.write("")
        read = partial(settings_file.load, GatewaySettings, path)
        self.metrics = GatewayMetrics()
        self.put: list[GatewaySettings] = []
        self.reloading = Reloading(
            read(),
            read,
            path=path,
            put=self.put.append,
            metrics=self.metrics,
            look_seconds=look_seconds,
        )

    def write(self, text: str) -> None:
        fresh = self.path.with_suffix(".new")
        fresh.write_text(BASE + text, encoding="utf-8")
        fresh.replace(self.path)

    @property
    def roles(self) -> list[str | None]:
        """The roles that the settings in force name."""
        return [each.role_id for each in self.reloading.settings.value.access]

    def metric(self, name: str) -> float:
        value = self.metrics.registry.get_sample_value(f"repobridge_gateway_settings_{name}")
        assert value is not None, generate_latest(self.metrics.registry).decode()
        return value

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.reloading.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def until_roles(self, *roles: str) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.reloading.settings.until(
                lambda settings: [each.role_id for each in settings.access] == [*roles]
            )


async def test_what_can_change_comes_into_force_at_once_and_the_rest_waits(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "gateway.yaml")
    stage.write(f"{access(ROLE)}log_level: debug\nlisten: 127.0.0.1:9\nnamespaces: [web]\n")
    assert await stage.reloading.reload() == Reload(
        changed=("access", "log_level"), waiting=("namespaces", "listen")
    )
    (put,) = stage.put
    assert put is stage.reloading.settings.value
    assert (stage.roles, put.log_level) == ([ROLE], "debug")
    assert (put.listen, put.namespaces) == ("0.0.0.0:8080", ())
    assert stage.metric("waiting") == 2
    # What waited is what the process started with again: nothing waits.
    stage.write(access(ROLE))
    assert await stage.reloading.reload() == Reload(changed=("log_level",))
    assert (stage.metric("waiting"), len(stage.put)) == (0, 2)


async def test_what_says_the_same_changes_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "gateway.yaml")
    stage.write("# a comment\n")
    assert await stage.reloading.reload() == Reload()
    assert stage.put == []


BROKEN = {
    "a field": ("acess: []\n", "acess (line 3): no such field"),
    "a value": ("log_level: [1]\n", "log_level (line 3): must be a text"),
    "form": ('access: [{roleId: "1"\n', "gateway.yaml, line 4: can't be read: "),
    "no date": ("limits: 2026-13-45\n", "gateway.yaml can't be read: "),
    "depth": ("limits: " + "[" * 5000, "gateway.yaml can't be read: "),
    "a key": ("7: 7\n", "7 (line 3): no such field"),
    "a secret": ("token_file: 'hunter2\n", "can't be read: found unexpected end of stream"),
}


@pytest.mark.parametrize(("text", "problem"), BROKEN.values(), ids=BROKEN.keys())
async def test_a_broken_file_changes_nothing_and_says_why(
    tmp_path: Path, text: str, problem: str
) -> None:
    stage = Stage(tmp_path / "gateway.yaml")
    stage.write(access(ROLE))
    await stage.reloading.reload()
    stage.write(f"{text}{access(OTHER)}")
    found = await stage.reloading.reload()
    assert found == Reload(problem=found.problem)
    assert problem in found.problem
    assert "hunter2" not in found.problem
    assert (stage.roles, len(stage.put)) == ([ROLE], 1)
    assert (stage.metric("last_reload_success"), stage.metric("errors_total")) == (0, 1)
    stage.write(access(OTHER))
    assert await stage.reloading.reload() == Reload(changed=("access",))
    assert (stage.metric("last_reload_success"), stage.metric("errors_total")) == (1, 1)


async def test_a_file_that_is_gone_changes_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "gateway.yaml")
    stage.path.unlink()
    assert "No such file" in (await stage.reloading.reload()).problem
    assert stage.put == []


@settings(max_examples=25)
@given(
    st.lists(
        st.one_of(
            st.sampled_from(
                [
                    access(ROLE),
                    access(OTHER),
                    "",
                    *(BROKEN[each][0] for each in BROKEN.keys() - {"depth"}),
                ]
            ),
            st.text(max_size=40),
        ),
        max_size=6,
    )
)
def test_after_any_files_the_last_good_one_is_in_force(texts: list[str]) -> None:
    async def told(stage: Stage) -> None:
        last = stage.reloading.settings.value
        for text in texts:
            stage.write(text)
            try:
                last = settings_file.load(GatewaySettings, stage.path).over(last)
                is_good = True
            except settings_file.SettingsError:
                is_good = False
            found = await stage.reloading.reload()
            assert bool(found.problem) is not is_good
            assert stage.reloading.settings.value == last
            assert (stage.put or [last])[-1] == last

    with TemporaryDirectory() as directory:
        asyncio.run(told(Stage(Path(directory) / "gateway.yaml", look_seconds=NEVER_SECONDS)))


async def test_a_change_is_seen_as_the_kubelet_makes_it(tmp_path: Path) -> None:
    def swap(text: str, name: str) -> None:
        (tmp_path / name).mkdir()
        (tmp_path / name / "gateway.yaml").write_text(BASE + text, encoding="utf-8")
        (tmp_path / "..data_tmp").symlink_to(name)
        (tmp_path / "..data_tmp").replace(tmp_path / "..data")

    swap(access(ROLE), "..1")
    path = tmp_path / "gateway.yaml"
    path.symlink_to("..data/gateway.yaml")
    stage = Stage(path)
    async with stage.running():
        swap(access(OTHER), "..2")
        await stage.until_roles(OTHER)
        swap("acess: []\n", "..3")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while stage.metric("last_reload_success"):
                await asyncio.sleep(0.01)
        assert stage.roles == [OTHER]
        swap(access(ROLE), "..4")
        await stage.until_roles(ROLE)
    assert stage.metric("errors_total") == 1


async def test_what_changed_before_the_first_look_is_seen_too(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "gateway.yaml")
    stage.write(access(ROLE))
    async with stage.running():
        await stage.until_roles(ROLE)


async def test_whoever_asks_does_not_wait_for_the_next_look(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "gateway.yaml", look_seconds=NEVER_SECONDS)
    stage.write(access(ROLE))
    async with stage.running():
        stage.reloading.ask()
        await stage.until_roles(ROLE)
