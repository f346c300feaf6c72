"""The example configurations are good ones, as the real loader sees them."""

from __future__ import annotations

from pathlib import Path

import pytest

from repobridge import durations
from repobridge_gateway.config import Bridge, load
from repobridge_gateway.serve import servable

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with the checkouts that the examples name."""
    for name in ("api", "api-next", "website", "playground", "payments"):
        (tmp_path / "src" / name).mkdir(parents=True)
    return tmp_path.resolve()


def bridge(name: str, directory: Path, **others: str) -> Bridge:
    facts = {"provider": "terminal", "channel_id": "", "llm": "claude"} | others
    return Bridge(name=name, working_dir=directory, **facts)


def test_the_smallest(home: Path) -> None:
    config = load(EXAMPLES / "one-repo.yaml", {"HOME": str(home)})
    assert config.bridges == servable(config) == (bridge("api", home / "src/api"),)


def test_several_with_their_worktrees(home: Path) -> None:
    config = load(EXAMPLES / "several-repos.yaml", {"HOME": str(home)})
    assert servable(config) == (
        bridge("api", home / "src/api"),
        bridge("api/next", home / "src/api-next"),
        bridge("website", home / "src/website"),
    )
    assert config.idle_nanoseconds == 90 * durations.MINUTE
    assert config.environment[-1] == "DATABASE_URL"
    assert config.log_format == "json"


def test_one_of_llm_bridge(home: Path) -> None:
    environment = {"HOME": str(home), "DISCORD_BOT_TOKEN": "made-up"}
    config = load(EXAMPLES / "llm-bridge.yaml", environment)
    playground = bridge("playground", home / "src/playground")
    channel = {"provider": "discord", "channel_id": "1123581321345589144"}
    payments = bridge("payments", home / "src/payments", **channel)
    assert config.bridges == servable(config) == (playground, payments)
    assert config.discord_token.get_secret_value() == "made-up"


def test_there_are_no_others() -> None:
    assert {path.name for path in EXAMPLES.iterdir() if path.is_file()} == {
        "one-repo.yaml",
        "several-repos.yaml",
        "llm-bridge.yaml",
    }
