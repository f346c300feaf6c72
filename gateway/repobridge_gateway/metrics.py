"""What the gateway counts: how long messages take on their way, and what waits.

Labels come from small fixed sets; who wrote, and where, is for the log.
"""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from repobridge_gateway.rolenames import NameFault

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class GatewayMetrics:
    """One gateway's numbers."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry = registry or CollectorRegistry()
        """Where they are registered."""
        self._kept = Histogram(
            "repobridge_gateway_kept_seconds",
            "From when Discord made a message until it was on our disk; by its clock and ours.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._handed_over = Histogram(
            "repobridge_gateway_handover_seconds",
            "From when Discord made a message until its runner had it, with any wake between.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._first_text = Histogram(
            "repobridge_gateway_first_text_seconds",
            "From the beginning of a turn until its first words.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._wakes = Histogram(
            "repobridge_gateway_wake_seconds",
            "How long bridges took to wake, by whether they did.",
            ["outcome"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._edits = Counter(
            "repobridge_gateway_live_edits_total",
            "Edits of messages that show a turn.",
            registry=registry,
        )
        self._answers = Counter(
            "repobridge_gateway_discord_answers_total",
            "Discord's answers to our calls, by their kind.",
            ["kind"],
            registry=registry,
        )
        for kind in ("ok", "limited", "refused", "failed"):
            self._answers.labels(kind)
        self._pieces = Gauge(
            "repobridge_gateway_pieces",
            "What is said, or is to be, by how far it is.",
            ["state"],
            registry=registry,
        )
        self._messages = Gauge(
            "repobridge_gateway_messages",
            "Messages of people that are not ended yet, by where they are.",
            ["state"],
            registry=registry,
        )
        self._role_names = Counter(
            "repobridge_gateway_role_names_refused_total",
            "Roles that the settings name and that grant nothing, by why.",
            ["fault"],
            registry=registry,
        )
        for fault in NameFault:
            self._role_names.labels(fault.value)
        self._limited = Counter(
            "repobridge_gateway_messages_limited_total",
            "Messages that were not taken, by the limit of rate that was reached.",
            ["limit"],
            registry=registry,
        )
        for limit in ("user", "window", "channel"):
            self._limited.labels(limit)
        self._reload_is_good = Gauge(
            "repobridge_gateway_settings_last_reload_success",
            "1 where the settings could be used when they were last read, 0 where they are broken.",
            registry=registry,
        )
        self._settings_errors = Counter(
            "repobridge_gateway_settings_errors_total",
            "How often settings were read again and could not be used.",
            registry=registry,
        )
        self._settings_waiting = Gauge(
            "repobridge_gateway_settings_waiting",
            "Settings that were changed and that only a restart can apply.",
            registry=registry,
        )
        self._calls = Gauge(
            "repobridge_gateway_calls_waiting",
            "Calls to Discord that wait for their turn.",
            registry=registry,
        )

    def kept(self, seconds: float) -> None:
        """A message is on our disk."""
        self._kept.observe(max(0.0, seconds))

    def handed_over(self, seconds: float) -> None:
        """A message is with its runner."""
        self._handed_over.observe(max(0.0, seconds))

    def first_text(self, seconds: float) -> None:
        """A turn said its first words."""
        self._first_text.observe(max(0.0, seconds))

    def woke(self, seconds: float, *, is_awake: bool) -> None:
        """A wake has ended, one way or the other."""
        self._wakes.labels("awake" if is_awake else "failed").observe(max(0.0, seconds))

    def edited(self) -> None:
        """A live message was edited."""
        self._edits.inc()

    def answered(self, status: int) -> None:
        """Discord answered a call; 0: nobody did."""
        if status == 429:
            kind = "limited"
        elif 200 <= status < 400:
            kind = "ok"
        else:
            kind = "refused" if 400 <= status < 500 else "failed"
        self._answers.labels(kind).inc()

    def role_refused(self, fault: NameFault) -> None:
        """A role's name grants nothing."""
        self._role_names.labels(fault.value).inc()

    def limited(self, limit: str) -> None:
        """A message was not taken: "user", "window" or "channel"."""
        self._limited.labels(limit).inc()

    def reloaded(self, *, is_good: bool, waiting: int) -> None:
        """The settings were read; so many of them wait for a restart."""
        self._reload_is_good.set(is_good)
        self._settings_waiting.set(waiting)
        if not is_good:
            self._settings_errors.inc()

    def waits(self, *, pieces: Mapping[str, int], messages: Mapping[str, int], calls: int) -> None:
        """How much waits now."""
        for state, count in pieces.items():
            self._pieces.labels(state).set(count)
        for state, count in messages.items():
            self._messages.labels(state).set(count)
        self._calls.set(calls)
