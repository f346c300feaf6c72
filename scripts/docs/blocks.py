"""The generated parts of a page: each between two marks, its text made from the code."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from scripts.docs import api, commands, configuration, policy, settings, sources, wire

ROOT = Path(__file__).parent.parent.parent
PAGES = ROOT / "docs"
_BLOCK = re.compile(
    r"(?P<begin><!-- begin (?P<name>[a-z-]+): written by `make docs` -->\n)"
    r".*?(?P<end><!-- end (?P=name) -->)",
    re.DOTALL,
)
GENERATORS: Mapping[str, Callable[[], str]] = {
    "api-reasons": api.reasons,
    "api-spec": api.spec,
    "api-status": api.status,
    "commands": commands.text,
    "configuration": configuration.text,
    "configuration-live": configuration.live,
    "environment": configuration.environment,
    "gateway-live": settings.live,
    "gateway-settings": settings.gateway,
    "logs": sources.logs,
    "metrics": sources.metrics,
    "operator-settings": settings.operator,
    "policy": policy.text,
    "refusals": sources.refusals,
    "session-calls": lambda: wire.calls(wire.SESSION),
    "session-messages": lambda: wire.messages(wire.SESSION),
    "local-calls": lambda: wire.calls(wire.LOCAL),
    "local-messages": lambda: wire.messages(wire.LOCAL),
}


class UnknownBlock(Exception):
    """A page asks for a part that nothing generates."""


def names(page: str) -> list[str]:
    """The generated parts of a page."""
    return [match["name"] for match in _BLOCK.finditer(page)]


def rendered(page: str) -> str:
    """The page with its generated parts as the code says them now."""

    def replace(match: re.Match[str]) -> str:
        if match["name"] not in GENERATORS:
            raise UnknownBlock(f'nothing generates "{match["name"]}"')
        return f"{match['begin']}\n{GENERATORS[match['name']]().strip()}\n\n{match['end']}"

    return _BLOCK.sub(replace, page)
