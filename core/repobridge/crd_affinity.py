"""Where a pod likes to be: a bounded part of core/v1's Affinity."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from repobridge.crd_base import LabelKey, LabelName, Labels, LabelValue, Model, Rule

Weight = Annotated[int, Field(ge=1, le=100)]
_WITHOUT_VALUES = ("Exists", "DoesNotExist")


class NodeOperator(StrEnum):
    """How a node's label is compared."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"
    GT = "Gt"
    LT = "Lt"


class LabelOperator(StrEnum):
    """How a label is compared."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


_VALUES_FIT = Rule(
    cel="has(self.values) != (self.operator in ['Exists', 'DoesNotExist'])",
    message="needs values, unless the operator is Exists or DoesNotExist, which take none",
    holds=lambda e: bool(e.values) != (e.operator.value in _WITHOUT_VALUES),
)
Values = Annotated[tuple[LabelValue, ...], Field(min_length=1, max_length=4)]


class NodeRequirement(Model):
    """A condition on a node's labels."""

    RULES: ClassVar[tuple[Rule, ...]] = (_VALUES_FIT,)
    key: LabelKey
    """The label."""
    operator: NodeOperator
    """How it is compared."""
    values: Values = ()
    """With what."""


class LabelRequirement(Model):
    """A condition on labels."""

    RULES: ClassVar[tuple[Rule, ...]] = (_VALUES_FIT,)
    key: LabelKey
    """The label."""
    operator: LabelOperator
    """How it is compared."""
    values: Values = ()
    """With what."""


class LabelSelector(Model):
    """Objects by their labels; empty: all."""

    match_labels: Annotated[Labels, Field(max_length=4)] = Field(default_factory=dict)
    """Labels that they must have."""
    match_expressions: Annotated[tuple[LabelRequirement, ...], Field(max_length=2)] = ()
    """Conditions that their labels must meet."""


class NodeSelectorTerm(Model):
    """Conditions that a node must meet together."""

    match_expressions: Annotated[tuple[NodeRequirement, ...], Field(min_length=1, max_length=4)]
    """Conditions on its labels."""


class NodeSelector(Model):
    """Nodes that meet one of several terms."""

    node_selector_terms: Annotated[tuple[NodeSelectorTerm, ...], Field(min_length=1, max_length=4)]
    """The terms, one of which has to hold."""


class PreferredNodes(Model):
    """Nodes that are liked better."""

    weight: Weight
    """How much better, from 1 to 100."""
    preference: NodeSelectorTerm


class NodeAffinity(Model):
    """Which nodes the pod may be on."""

    required_during_scheduling_ignored_during_execution: NodeSelector | None = None
    preferred_during_scheduling_ignored_during_execution: Annotated[
        tuple[PreferredNodes, ...], Field(max_length=2)
    ] = ()
    """Nodes that are liked better."""


class PodTerm(Model):
    """Pods near which, or away from which, the pod should be."""

    label_selector: LabelSelector
    topology_key: LabelKey
    """The node's label by which near is measured, such as kubernetes.io/hostname."""
    namespaces: Annotated[tuple[LabelName, ...], Field(max_length=4)] = ()
    """Where these pods are; absent: in the bridge's namespace."""


class PreferredPods(Model):
    """Pods near which, or away from which, it is liked better."""

    weight: Weight
    """How much better, from 1 to 100."""
    pod_affinity_term: PodTerm


Terms = Annotated[tuple[PodTerm, ...], Field(max_length=2)]
PreferredTerms = Annotated[tuple[PreferredPods, ...], Field(max_length=2)]


class PodAffinity(Model):
    """Pods near which the pod should be."""

    required_during_scheduling_ignored_during_execution: Terms = ()
    """Where it must be."""
    preferred_during_scheduling_ignored_during_execution: PreferredTerms = ()
    """Where it is liked better."""


class PodAntiAffinity(Model):
    """Pods away from which the pod should be."""

    required_during_scheduling_ignored_during_execution: Terms = ()
    """Where it must not be."""
    preferred_during_scheduling_ignored_during_execution: PreferredTerms = ()
    """Where it is liked less."""


class Affinity(Model):
    """Where the pod likes to be, as in core/v1."""

    node_affinity: NodeAffinity | None = None
    pod_affinity: PodAffinity | None = None
    pod_anti_affinity: PodAntiAffinity | None = None
