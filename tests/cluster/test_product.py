"""What people install, on a real node: the chart's operator becomes ready, and serves a bridge."""

from __future__ import annotations

import json
import re

import pytest

from tests.cluster.product import SYSTEM, Product

COLUMNS = ["NAME", "PHASE", "READY", "SESSIONS", "CHANNEL", "LAST ACTIVE", "AGE"]
pytestmark = pytest.mark.timeout(900)  # the first build of the images takes minutes


async def test_a_bridge_of_the_installed_product_wakes_and_is_shown(product: Product) -> None:
    await product.apply("shown", scaling={"memoryPerSession": "128Mi"})
    await product.until("shown", "Asleep")
    await product.scale("shown", 1)
    awake = await product.until("shown", "Ready")

    head, row = (await product.kubectl("get", "rb", "shown")).splitlines()

    assert re.split(r" {2,}", head.strip()) == COLUMNS
    assert row.split()[:3] == ["shown", "Ready", "Serving"]
    assert awake["status"]["endpoint"]["podName"] == "rb-shown-0"


async def test_the_operator_of_the_chart_is_refused_nothing(product: Product) -> None:
    await product.apply("allowed")
    await product.until("allowed", "Asleep")
    lines = [json.loads(line) for line in (await product.log()).splitlines()]
    assert [line for line in lines if "orbidden" in json.dumps(line)] == []
    assert [line["msg"] for line in lines if line["level"] == "error"] == []


async def test_the_metrics_service_leads_to_the_operator(product: Product) -> None:
    service = f"/api/v1/namespaces/{SYSTEM}/services/repobridge-operator-metrics:http"
    metrics = await product.cluster.kubectl("get", "--raw", f"{service}/proxy/metrics")
    assert "repobridge_operator_reconciles_total" in metrics
