"""What the gateway counts, as Prometheus reads it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from repobridge_gateway.metrics import GatewayMetrics


def test_times_answers_and_what_waits_are_told_under_names_of_a_small_set() -> None:
    metrics = GatewayMetrics(CollectorRegistry())
    metrics.kept(0.03)
    metrics.kept(-5.0)  # by another clock: no time is less than none
    metrics.handed_over(2.0)
    metrics.first_text(0.7)
    metrics.woke(4.0, is_awake=True)
    metrics.woke(9.0, is_awake=False)
    metrics.edited()
    for status in (200, 204, 404, 429, 429, 503, 0):
        metrics.answered(status)
    metrics.waits(pieces={"pending": 3}, messages={"waiting": 2}, calls=7)
    lines = generate_latest(metrics.registry).decode().splitlines()
    told = {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines
                                                      if not line.startswith("#"))}  # fmt: skip
    assert told["repobridge_gateway_kept_seconds_count"] == 2
    assert told["repobridge_gateway_kept_seconds_sum"] == 0.03
    assert told["repobridge_gateway_handover_seconds_sum"] == 2.0
    assert told["repobridge_gateway_first_text_seconds_sum"] == 0.7
    assert told['repobridge_gateway_wake_seconds_sum{outcome="awake"}'] == 4.0
    assert told['repobridge_gateway_wake_seconds_sum{outcome="failed"}'] == 9.0
    assert told["repobridge_gateway_live_edits_total"] == 1
    answers = {
        kind: told[f'repobridge_gateway_discord_answers_total{{kind="{kind}"}}']
        for kind in ("ok", "refused", "limited", "failed")
    }
    assert answers == {"ok": 2, "refused": 1, "limited": 2, "failed": 2}
    assert told['repobridge_gateway_pieces{state="pending"}'] == 3
    assert told['repobridge_gateway_messages{state="waiting"}'] == 2
    assert told["repobridge_gateway_calls_waiting"] == 7
