"""The operator's settings: where they come from, which wins, and what a mistake is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from repobridge.claims import TenancyRule
from repobridge_operator.resources.podsettings import PodSettings, control_plane_in
from repobridge_operator.settings import SettingsError, load


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REPOBRIDGE_OPERATOR_NAMESPACES", raising=False)
    monkeypatch.delenv("REPOBRIDGE_OPERATOR_POD__IMAGE", raising=False)


def written(directory: Path, text: str) -> Path:
    path = directory / "operator.yaml"
    path.write_text(text)
    return path


def test_a_variable_wins_over_the_file_field_by_field(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "pod: {image: one, log_format: text}\nworkers: 3\n")
    monkeypatch.setenv("REPOBRIDGE_OPERATOR_POD__IMAGE", "two")
    monkeypatch.setenv("REPOBRIDGE_OPERATOR_NAMESPACES", "team-a, team-b,")
    settings = load(path)
    assert settings.pod == PodSettings(image="two", log_format="text")
    assert (settings.workers, settings.namespaces) == (3, ("team-a", "team-b"))


def test_the_image_alone_is_enough_and_serves_every_namespace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REPOBRIDGE_OPERATOR_POD__IMAGE", "runner:1")
    settings = load(None)
    assert settings.namespaces == ()
    assert settings.network_settings().control_plane == control_plane_in("repobridge")


def test_variables_that_the_kubelet_makes_for_a_service_of_our_name_are_no_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REPOBRIDGE_OPERATOR_POD__IMAGE", "runner:1")
    monkeypatch.setenv("REPOBRIDGE_OPERATOR_PORT", "tcp://10.0.0.1:8080")
    monkeypatch.setenv("REPOBRIDGE_OPERATOR_SERVICE_HOST", "10.0.0.1")
    assert load(None).pod.image == "runner:1"


def test_tenancy_and_the_network_come_from_the_file(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "pod: {image: one}\n"
        "tenancy: [{namespaces: [team], guilds: ['1']}]\n"
        "network: {private_ranges: [10.0.0.0/8]}\n",
    )
    settings = load(path)
    assert [each.rule() for each in settings.tenancy] == [
        TenancyRule(namespaces=frozenset({"team"}), guilds=frozenset({"1"}))
    ]
    assert settings.network_settings().private_ranges == ("10.0.0.0/8",)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("workers: 3\n", "pod: is missing"),
        (
            "pod: {image: a}\nworkers: 0\n",
            "workers (line 2): must be at least 1",
        ),
        ("pod: {image: a}\nworker: 1\n", "worker (line 2): no such field"),
        ("pod: {image: a}\nnetwork: {dsn: []}\n", "network has no field 'dsn'"),
        ("pod: {image: a}\nlisten: here\n", "listen (line 2): String should match pattern"),
        ("- 1\n", "holds no mapping"),
        ("a: [\n", "can't be read"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(written(tmp_path, text))
    assert sentence in str(caught.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        load(tmp_path / "absent.yaml")


def test_settings_are_frozen(tmp_path: Path) -> None:
    settings = load(written(tmp_path, "pod: {image: one}\n"))
    with pytest.raises(ValidationError):
        settings.workers = 2
