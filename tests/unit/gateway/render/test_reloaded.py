"""What somebody reads who had the settings read again."""

from __future__ import annotations

import pytest

from repobridge_gateway.reloading import Reload
from repobridge_gateway.render.reloaded import reload_text


@pytest.mark.parametrize(
    ("reload", "text"),
    [
        (Reload(), "Nothing has changed that can change now."),
        (
            Reload(changed=("access", "log_level"), waiting=("listen",)),
            "In force from now on: `access`, `log_level`.\n"
            "Changed, and waiting for a restart: `listen`.",
        ),
        (
            Reload(problem="x.yaml:3: repos.*: <@1> is no key"),
            "The settings can't be used; everything is as it was.\n"
            "x.yaml:3: repos.\\*: <\u200b@1\\> is no key",
        ),
    ],
)
def test_what_came_of_it_is_told(reload: Reload, text: str) -> None:
    assert reload_text(reload) == text


def test_a_long_problem_fits_into_a_message() -> None:
    assert len(reload_text(Reload(problem="*" * 10_000, waiting=("a",) * 20))) < 2_000
