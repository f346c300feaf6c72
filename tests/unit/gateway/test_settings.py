"""The gateway's settings in a cluster: what is wrong is said with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from repobridge import settings_file
from repobridge.settings_file import SettingsError
from repobridge_gateway.access import Permission, Rule
from repobridge_gateway.authority import Policy
from repobridge_gateway.policy_settings import LimitsSettings
from repobridge_gateway.settings import GatewaySettings

GUILD, ROLE = "1123581321345589144", "2123581321345589144"
BASE = "token: made-up\nstore_directory: /var/lib/repobridge\n"


def load(directory: Path, text: str) -> GatewaySettings:
    path = directory / "gateway.yaml"
    path.write_text(BASE + text, encoding="utf-8")
    return settings_file.load(GatewaySettings, path)


def test_access_is_said_for_all_guilds_and_for_one(tmp_path: Path) -> None:
    text = (
        f'access:\n  - {{roleId: "{ROLE}"}}\n'
        f'guilds:\n  "{GUILD}":\n    access: [{{role: Ops, permissions: [reload_config]}}]\n'
    )
    assert load(tmp_path, text).policy() == Policy(
        rules=(Rule(role_id=ROLE, permissions=frozenset({Permission.PROMPT})),),
        guilds={GUILD: (Rule(role_name="Ops", permissions=frozenset({Permission.RELOAD_CONFIG})),)},
        limits=LimitsSettings(),
    )


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (
            f'access:\n  - roleId: "{ROLE}"\n    permissions: [prompt,\n      fly]\n',
            ["access.0.permissions.1 (line 6): must be one of: 'prompt', 'approve', "],
        ),
        (
            "limits:\n  rate:\n    user: {per_second: -1, burst: 3}\n    wndows: []\n",
            [
                "limits.rate.user.per_second (line 5): must not be negative",
                "limits.rate.wndows (line 6): no such field",
            ],
        ),
        (
            "access:\n  - {role: A}\n  - {role: A}\n",
            ["access (line 3): entries 0 and 1 are about the same role or person."],
        ),
        ("guilds:\n  acme: {}\n", ["guilds.acme (line 4): must be a Discord id in quotes"]),
    ],
)
def test_what_is_wrong_is_told_with_its_line(
    tmp_path: Path, text: str, problems: list[str]
) -> None:
    with pytest.raises(SettingsError) as refused:
        load(tmp_path, text)
    assert [each for each in problems if each not in str(refused.value)] == []


def test_a_variable_that_is_wrong_is_on_no_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPOBRIDGE_GATEWAY_LOG_LEVEL", "loud")
    with pytest.raises(SettingsError, match="wrong: log_level: String should match"):
        load(tmp_path, "")
