from __future__ import annotations

from repobridge_runner.ownenvironment import OwnEnvironment, part


def test_what_has_the_prefix_is_the_agents_alone_and_the_settings_are_nobodys() -> None:
    environment = {
        "PATH": "/usr/bin",
        "REPOBRIDGE_SETTINGS": "{}",
        "REPOBRIDGE_AGENT_ENV_ANTHROPIC_API_KEY": "sk-1",
        "REPOBRIDGE_AGENT_ENV_LD_PRELOAD": "/evil.so",
    }
    assert part(environment) == OwnEnvironment(
        runner={"PATH": "/usr/bin"},
        agent={"ANTHROPIC_API_KEY": "sk-1", "LD_PRELOAD": "/evil.so"},
        settings="{}",
    )


def test_without_any_of_it_everything_is_the_runners() -> None:
    assert part({"HOME": "/h"}) == OwnEnvironment(runner={"HOME": "/h"}, agent={}, settings="")


def test_a_prefix_without_a_name_names_nothing() -> None:
    assert part({"REPOBRIDGE_AGENT_ENV_": "x"}) == OwnEnvironment({}, {}, "")
