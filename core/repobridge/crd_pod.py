"""What a bridge's pod may be told beyond what the operator decides, as far as core/v1 has words.

Each model is a bounded part of the type of the same name there: what is not here is refused by the
API server's strict validation, rather than dropped in silence later.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from repobridge import quantities
from repobridge.crd_affinity import Affinity
from repobridge.crd_agent import SecretRef
from repobridge.crd_base import (
    LABEL_KEY,
    QUANTITY,
    LabelKey,
    Labels,
    LabelValue,
    ListMap,
    Model,
    ObjectName,
    Path,
    Quantity,
    Rule,
    is_quantity,
    keys_matching,
    matching,
    quantity_from,
)

_OURS = "^(?:repobridge[.]dev/.*|app[.]kubernetes[.]io/(?:name|managed-by))$"


def _is_ours(key: str) -> bool:
    return key.startswith("repobridge.dev/") or key in {
        "app.kubernetes.io/name",
        "app.kubernetes.io/managed-by",
    }


_KEEPS_OURS = Rule(
    cel=f"self.all(key, !key.matches('{_OURS}'))",
    message="has a key that RepoBridge itself sets: remove repobridge.dev/…,"
    " app.kubernetes.io/name and app.kubernetes.io/managed-by",
    holds=lambda keys: not any(map(_is_ours, keys)),
)


class TolerationOperator(StrEnum):
    """How a taint is compared."""

    EXISTS = "Exists"
    EQUAL = "Equal"


class TaintEffect(StrEnum):
    """What a taint does."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class Toleration(Model):
    """A taint that the pod bears, as in core/v1."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="has(self.key) || (has(self.operator) && self.operator == 'Exists')",
            message="without a key the operator must be Exists, which bears every taint",
            holds=lambda t: t.key is not None or t.operator is TolerationOperator.EXISTS,
        ),
    )
    key: LabelKey | None = None
    """The taint's key; absent, with the operator Exists: every taint."""
    operator: TolerationOperator | None = None
    """Exists or Equal; absent: Equal."""
    value: LabelValue | None = None
    """The taint's value."""
    effect: TaintEffect | None = None
    """The taint's effect; absent: every effect."""
    toleration_seconds: Annotated[int, Field(ge=0)] | None = None
    """How long it bears NoExecute; absent: for ever."""


class KeyToPath(Model):
    """A key and the file that it becomes."""

    key: Annotated[str, Field(min_length=1, max_length=253)]
    """The key."""
    path: Annotated[
        str,
        Field(max_length=128),
        matching(
            r"[A-Za-z0-9_-][A-Za-z0-9._/-]*|[.][A-Za-z0-9_-][A-Za-z0-9._/-]*",
            "must be a relative path",
        ),
        Rule(
            cel="!self.contains('..')",
            message="must not lead out of the volume",
            holds=lambda path: ".." not in path,
        ),
    ]
    """The file, below mountPath."""


Items = Annotated[tuple[KeyToPath, ...], Field(max_length=4)]


class ConfigMapVolume(Model):
    """The keys of a ConfigMap as files."""

    name: ObjectName
    """The ConfigMap's name."""
    items: Items = ()
    """Which keys, and their files; absent: all."""
    optional: bool = False
    """Whether the pod starts without it."""


class SecretVolume(Model):
    """The keys of a Secret as files."""

    secret_name: ObjectName
    """The Secret's name."""
    items: Items = ()
    """Which keys, and their files; absent: all."""
    optional: bool = False
    """Whether the pod starts without it."""


class Medium(StrEnum):
    """Where an empty directory is."""

    MEMORY = "Memory"


class EmptyDirVolume(Model):
    """A directory that is gone with the pod."""

    medium: Medium | None = None
    """Memory: counted as the pod's memory; absent: the node's disk."""
    size_limit: Annotated[Quantity, quantity_from("1")] | None = None
    """How large it may get."""


class ClaimVolume(Model):
    """A volume by its claim."""

    claim_name: ObjectName
    """The claim's name."""
    read_only: bool = False
    """Whether the volume as a whole is mounted for reading."""


class CsiVolume(Model):
    """A volume that a CSI driver makes for the pod."""

    driver: ObjectName
    """The driver's name."""
    read_only: bool = False
    """Whether it is for reading."""
    volume_attributes: Annotated[
        Mapping[str, Annotated[str, Field(max_length=256)]],
        Field(max_length=4),
        keys_matching("[!-~]+", "has a key with blanks, or longer than 128 characters"),
    ] = Field(default_factory=dict)
    """What the driver wants to know."""
    node_publish_secret_ref: SecretRef | None = None
    """A Secret for the driver."""


_SOURCES = ("configMap", "secret", "emptyDir", "persistentVolumeClaim", "csi")


_TAKEN = ("/workspace", "/etc/repobridge", "/run/repobridge", "/proc", "/sys", "/dev")


def _is_free(path: str) -> bool:
    plain = "/" + path.strip("/")
    if ".." in path or "//" in path or "/./" in path or plain in {"/", "/tmp"}:  # noqa: S108
        return False
    return not any(plain == taken or plain.startswith(f"{taken}/") for taken in _TAKEN)


class ExtraVolume(Model):
    """A further volume, and where the runner's container has it."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="["
            + ", ".join(f"has(self.{source})" for source in _SOURCES)
            + "].filter(given, given).size() == 1",
            message=f"must have exactly one of {', '.join(_SOURCES)}; others, such as hostPath,"
            " are not offered",
            holds=lambda v: sum(source is not None for source in v.sources) == 1,
        ),
    )
    name: Annotated[
        str,
        Field(max_length=57),
        matching(
            "[a-z0-9](?:[-a-z0-9]*[a-z0-9])?",
            "must be lower-case letters, digits and '-'",
        ),
    ]
    """Its name among these."""
    mount_path: Annotated[
        Path,
        Rule(
            cel="!self.matches('^/+(workspace|etc/repobridge|run/repobridge|tmp|proc|sys|dev)?/*$')"
            " && !self.matches('^/+(workspace|etc/repobridge|run/repobridge|proc|sys|dev)/')"
            " && !self.contains('..') && !self.contains('//') && !self.contains('/./')",
            message="must be a plain absolute path outside of /workspace, /etc/repobridge,"
            " /run/repobridge, /proc, /sys and /dev, and not /tmp itself",
            holds=_is_free,
        ),
    ]
    """Where it is mounted."""
    sub_path: Annotated[
        str,
        Field(max_length=256),
        matching(r"(?:[!-.0-~][!-~]*)?", "must be a relative path"),
        Rule(
            cel="!self.contains('..')",
            message="must not lead out of the volume",
            holds=lambda path: ".." not in path,
        ),
    ] = ""
    """Which part of the volume is mounted; absent: all."""
    read_only: bool = False
    """Whether it is mounted for reading."""
    config_map: ConfigMapVolume | None = None
    secret: SecretVolume | None = None
    empty_dir: EmptyDirVolume | None = None
    persistent_volume_claim: ClaimVolume | None = None
    csi: CsiVolume | None = None

    @property
    def sources(self) -> tuple[Model | None, ...]:
        """Where it comes from: one of these is given."""
        return (
            self.config_map,
            self.secret,
            self.empty_dir,
            self.persistent_volume_claim,
            self.csi,
        )


class PodOverrides(Model):
    """What the pod is told beyond what the operator decides."""

    image: (
        Annotated[
            str,
            Field(max_length=512),
            matching(
                "[A-Za-z0-9][A-Za-z0-9._:/@-]*",
                "must be an image such as registry.example/team/runner:1.2",
            ),
        ]
        | None
    ) = None
    """The runner's image; absent: the one that the operator was installed with."""
    image_pull_secrets: Annotated[tuple[SecretRef, ...], Field(max_length=4), ListMap("name")] = ()
    """Secrets of type kubernetes.io/dockerconfigjson."""
    node_selector: Labels = Field(default_factory=dict)
    """Labels that the node must have."""
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=16)] = ()
    """Taints that the pod bears."""
    affinity: Affinity | None = None
    runtime_class_name: ObjectName | None = None
    """The RuntimeClass, such as one of a sandbox."""
    priority_class_name: ObjectName | None = None
    """The PriorityClass."""
    labels: Annotated[Labels, _KEEPS_OURS] = Field(default_factory=dict)
    """Further labels of the pod."""
    annotations: Annotated[
        Mapping[str, Annotated[str, Field(max_length=512)]],
        Field(max_length=12),
        keys_matching(LABEL_KEY, "has a key that is no annotation's key such as example.com/team"),
        _KEEPS_OURS,
    ] = Field(default_factory=dict)
    """Further annotations of the pod."""
    extra_volumes: Annotated[
        tuple[ExtraVolume, ...],
        Field(max_length=8),
        ListMap("name"),
        Rule(
            cel="self.all(one, self.exists_one(other, other.mountPath == one.mountPath))",
            message="mounts two volumes at one place: give each a mountPath of its own",
            holds=lambda volumes: len({each.mount_path for each in volumes}) == len(volumes),
        ),
    ] = ()
    """Further volumes, and where they are mounted."""


Amounts = Annotated[
    Mapping[str, Quantity],
    Field(max_length=8),
    keys_matching(LABEL_KEY, "has a key that is no resource such as cpu, memory or vendor.com/gpu"),
    Rule(
        cel=f"self.all(key, string(self[key]).matches(r'^{QUANTITY}$'))",
        message='has an amount that is no quantity such as "500m", "2" or "4Gi"; it can\'t be'
        " negative",
        holds=lambda amounts: all(map(is_quantity, amounts.values())),
    ),
]


class Resources(Model):
    """What the runner's container asks for and may use at most, as in core/v1."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!has(self.requests) || !has(self.limits) || self.requests.all(key,"
            " !(key in self.limits) || quantity(string(self.requests[key]))"
            ".compareTo(quantity(string(self.limits[key]))) <= 0)",
            message="requests more of something than its limit allows",
            holds=lambda r: all(
                key not in r.limits or quantities.parse(amount) <= quantities.parse(r.limits[key])
                for key, amount in r.requests.items()
            ),
        ),
    )
    requests: Amounts = Field(default_factory=dict)
    """What is reserved on the node."""
    limits: Amounts = Field(default_factory=dict)
    """What it may use at most."""
