"""Names of a bridge's objects fit, never collide, and say whose they are."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repobridge_operator.resources import naming

UID = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
_PART = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
_NAMES = st.lists(_PART, min_size=1, max_size=9).map(".".join)
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_MADE = (naming.pod_name, naming.claim_name, naming.tls_secret_name, naming.policy_name)


def test_a_plain_name_stays_readable() -> None:
    assert [make("payments") for make in _MADE] == [
        "rb-payments-0",
        "rb-payments-workspace-0",
        "rb-payments-tls",
        "rb-payments",
    ]


@pytest.mark.parametrize(
    ("bridge", "pod", "label"),
    [
        ("a", "rb-a-0", "a"),
        ("x" * 48, f"rb-{'x' * 48}-0", "x" * 48),
        ("x" * 49, "rb-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx-55bb9823e6-0", "x" * 49),
        ("team.payments", "rb-team-payments-69f13a39f4-0", "team.payments"),
    ],
)
def test_a_name_that_does_not_fit_carries_a_digest(bridge: str, pod: str, label: str) -> None:
    assert (naming.pod_name(bridge), naming.bridge_label(bridge)) == (pod, label)


@settings(deadline=None)
@given(_NAMES)
def test_every_name_is_a_dns_label_and_every_label_fits(bridge: str) -> None:
    for make in _MADE:
        assert _LABEL.fullmatch(make(bridge)), make(bridge)
    for value in naming.labels(bridge, UID).values():
        assert _LABEL_VALUE.fullmatch(value), value


@settings(deadline=None)
@given(st.lists(_NAMES, unique=True, min_size=2, max_size=6))
def test_two_bridges_never_share_a_name(bridges: list[str]) -> None:
    bridges += [naming.pod_name(each)[3:-2] for each in bridges]  # the simplified ones, too
    for make in _MADE:
        assert len({make(each) for each in bridges}) == len(set(bridges))


def test_labels_selector_and_owner_say_whose_it_is() -> None:
    assert naming.metadata("rb-payments", namespace="team", bridge="payments", uid=UID) == {
        "name": "rb-payments",
        "namespace": "team",
        "labels": {
            "app.kubernetes.io/name": "session-runner",
            "app.kubernetes.io/managed-by": "repobridge",
            "repobridge.dev/bridge": "payments",
            "repobridge.dev/uid": UID,
        },
        "ownerReferences": [
            {
                "apiVersion": "repobridge.dev/v1alpha1",
                "kind": "RepoBridge",
                "name": "payments",
                "uid": UID,
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ],
    }
    assert naming.selector(UID) == (
        f"app.kubernetes.io/name=session-runner,repobridge.dev/uid={UID}"
    )


def test_what_is_not_owned_has_no_owner_reference() -> None:
    kept = naming.metadata("c", namespace="team", bridge="payments", uid=UID, owned=False)
    assert "ownerReferences" not in kept


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (naming.labels("payments", UID), True),
        (naming.labels("payments", "another"), False),
        ({naming.LABEL_UID: UID}, False),
        ({}, False),
    ],
)
def test_a_namesakes_object_is_not_taken_for_ours(labels: dict[str, str], expected: bool) -> None:
    assert naming.belongs_to(UID, {"metadata": {"labels": labels}}) is expected


def test_an_object_without_labels_is_not_ours() -> None:
    assert not naming.belongs_to(UID, {"metadata": {"labels": None}})
    assert not naming.belongs_to(UID, {})
