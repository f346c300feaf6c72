"""The API server's own words, as it says them, end under a reason for people."""

from __future__ import annotations

import pytest

from repobridge.conditions import Reason
from repobridge_operator.refusals import ApiRefusal, cause_of_refusal

_POD_SECURITY = (
    'pods "rb-payments-0" is forbidden: violates PodSecurity "restricted:latest":'
    ' unrestricted capabilities (container "mesh" must set'
    ' securityContext.capabilities.drop=["ALL"])'
)
_QUOTA = (
    'pods "rb-payments-0" is forbidden: exceeded quota: team, requested: requests.memory=856Mi,'
    " used: requests.memory=7Gi, limited: requests.memory=7680Mi"
)
_NAMESPACE = (
    'pods "rb-payments-0" is forbidden: unable to create new content in namespace team because it'
    " is being terminated"
)
_LIMITS = (
    'pods "rb-payments-0" is forbidden: maximum memory usage per Container is 1Gi, but limit is'
    " 2656Mi"
)
_RIGHTS = (
    'pods "rb-payments-0" is forbidden: User "system:serviceaccount:repobridge:operator" cannot'
    ' patch resource "pods" in API group "" in the namespace "team"'
)
_WEBHOOK = (
    'admission webhook "policy.example.com" denied the request: images come from registry.example'
)
_POLICY = (
    "pods \"rb-payments-0\" is forbidden: ValidatingAdmissionPolicy 'no-gpu' with binding 'all'"
    " denied request: no GPU in this namespace"
)
_GROWTH = (
    'persistentvolumeclaims "rb-payments-workspace-0" is forbidden: only dynamically provisioned'
    " pvc can be resized and the storageclass that provisions the pvc must support resize"
)


@pytest.mark.parametrize(
    ("kind", "message", "reason", "told"),
    [
        ("Pod", _POD_SECURITY, Reason.POD_REJECTED, 'violates PodSecurity "restricted:latest"'),
        ("Pod", _LIMITS, Reason.POD_REJECTED, "maximum memory usage per Container is 1Gi"),
        (
            "Pod",
            'Pod "rb-payments-0" is invalid: spec.containers[0].image: Required value',
            Reason.POD_REJECTED,
            "rejects the pod: spec.containers[0].image: Required value.",
        ),
        ("Pod", _WEBHOOK, Reason.POD_REJECTED, "images come from registry.example."),
        ("Pod", _POLICY, Reason.POD_REJECTED, "no GPU in this namespace."),
        (
            "Pod",
            'pods "rb-payments-0" is forbidden: no PriorityClass with name interactive was found',
            Reason.POD_REJECTED,
            "no PriorityClass with name interactive was found.",
        ),
        (
            "Pod",
            'pods "rb-payments-0" is forbidden: failed quota: team: must specify limits.cpu for:'
            " runner",
            Reason.QUOTA_EXCEEDED,
            "must specify limits.cpu for: runner.",
        ),
        ("Pod", _QUOTA, Reason.QUOTA_EXCEEDED, "used: requests.memory=7Gi"),
        (
            "PersistentVolumeClaim",
            'persistentvolumeclaims "c" is forbidden: exceeded quota: team, requested:'
            " requests.storage=10Gi, used: requests.storage=95Gi, limited: requests.storage=100Gi",
            Reason.QUOTA_EXCEEDED,
            "requests.storage=95Gi",
        ),
        ("Pod", _NAMESPACE, Reason.NAMESPACE_TERMINATING, "Namespace team is being deleted"),
        ("NetworkPolicy", _NAMESPACE, Reason.NAMESPACE_TERMINATING, "Namespace team"),
        ("Pod", _RIGHTS, Reason.API_REFUSED, "refuses Pod rb-payments-0: User"),
        ("PersistentVolumeClaim", _GROWTH, Reason.VOLUME_RESIZE_FAILED, "can't grow to 20Gi"),
        ("NetworkPolicy", "nothing that we know", Reason.API_REFUSED, "nothing that we know."),
    ],
)
def test_each_refusal_has_its_reason(kind: str, message: str, reason: Reason, told: str) -> None:
    refusal = ApiRefusal(kind=kind, name="rb-payments-0", message=message)
    cause = cause_of_refusal(refusal, namespace="team", size=20 << 30)
    assert cause.reason is reason
    assert told in cause.message


def test_a_constant_counts_before_words() -> None:
    refusal = ApiRefusal(
        kind="Pod", name="p", message="exceeded quota: x", causes=("NamespaceTerminating",)
    )
    cause = cause_of_refusal(refusal, namespace="team", size=1)
    assert cause.message == ("Namespace team is being deleted, so nothing can be made in it.")


def test_what_everyone_knows_is_left_out_of_the_sentence() -> None:
    refusal = ApiRefusal(kind="Pod", name="rb-payments-0", message=_LIMITS)
    cause = cause_of_refusal(refusal, namespace="team", size=1)
    assert cause.message == (
        "The cluster's admission rejects the pod: maximum memory usage per Container is 1Gi, but"
        " limit is 2656Mi. Change what it names in the RepoBridge, or the policy."
    )
