"""The words that several messages share: durations, counts, costs, people, and a few marks."""

from __future__ import annotations

from repobridge import durations
from repobridge.session import events as ev
from repobridge_gateway.lines import one_line
from repobridge_gateway.render.inline import escaped
from repobridge_gateway.render.measure import shortened

DONE = "✓"
FAILED = "✗"
REFUSED = "⊘"
STOPPED = "–"
RUNNING = "▸"
WORKING = "⏳"
ASKING = "✋"
NOTICED = "⚠"
"""All the marks there are; none shouts."""

_MOST_NAME_UNITS = 60


def elapsed(seconds: float) -> str:
    """A duration as people say it: tenths below ten seconds, whole seconds from there on."""
    value = max(0.0, seconds)
    return durations.text_of_seconds(round(value, 1) if value < 10 else round(value))


def count(number: int, noun: str) -> str:
    """A number and its noun: `1 file`, `1,200 files`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def size(number: int) -> str:
    """Bytes as people say them."""
    if number < 1024:
        return count(number, "byte")
    if number < 1 << 20:
        return f"{number / 1024:.0f} KiB"
    return f"{number / (1 << 20):.1f} MiB"


def person(actor: ev.Actor | None) -> str:
    """Somebody's name, with no mark in it; empty where nobody is known."""
    if actor is None:
        return ""
    return escaped(shortened(actor.display_name or actor.id, _MOST_NAME_UNITS))


def usage_facts(usage: ev.UsageUpdated | None) -> list[str]:
    """Tokens, cost and context, each where it is known."""
    if usage is None:
        return []
    facts: list[str] = []
    read = usage.input + usage.cache_read + usage.cache_write
    if read or usage.output:
        facts.append(f"{_tokens(read)} tokens in, {_tokens(usage.output)} out")
    if usage.cost_micro_usd:
        facts.append(_dollars(usage.cost_micro_usd / 1e6))
    if usage.context_window:
        facts.append(f"context {usage.context_used / usage.context_window:.0%}")
    return facts


def notice(told: ev.Notice) -> str:
    """A notice of the runner as a sentence."""
    params = {key: one_line(value) for key, value in told.params.items()}
    match told.code:
        case "Compacted":
            return "The conversation was getting long, so it was summed up."
        case "ProviderLimited":
            until = f" until {params['until']}" if params.get("until") else " for now"
            return f"The model's provider limits us{until}."
        case "AgentRestarted":
            return "The agent was restarted. It remembers the conversation."
        case "DiskLow":
            return "The workspace's disk is nearly full."
        case "AgentTooOld":
            version, oldest = params.get("version", "?"), params.get("oldest", "?")
            return f"The Claude CLI is version {version}; {oldest} or later is needed."
    facts = ", ".join(f"{key} {value}" for key, value in params.items())
    return one_line(f"{told.code}{': ' + facts if facts else ''}")


def _tokens(number: int) -> str:
    if number < 1000:
        return str(number)
    if number < 999_500:
        return f"{number / 1000:.1f}k" if number < 99_950 else f"{number / 1000:.0f}k"
    return f"{number / 1e6:.1f}M"


def _dollars(cost: float) -> str:
    return f"${cost:.2f}" if cost >= 0.1 else f"${cost:.4f}"
