"""Good RepoBridges, and every wrong spec that a person may write with what they read about it.

The real API server refuses each wrong one, and so does `repobridge.crd.parse`: at the same place
and, where one of our own rules is broken, in the same words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parent.parent
GOOD = sorted([*_ROOT.glob("examples/kubernetes/*.yaml"), *_ROOT.glob("tests/samples/*.yaml")])
"""What is for people, and what no runner of this version runs yet."""

CHANNEL = "1123581321345589144"
CLAIMED = {"existingClaim": "checkout"}
POD_TERM = {"topologyKey": "zone", "labelSelector": {}}


@dataclass(frozen=True)
class Wrong:
    """A spec, where it is wrong, and the sentence of the rule; empty: the schema's own words."""

    spec: Mapping[str, Any]
    path: str
    says: str = ""


def _repository(url: str, says: str) -> Wrong:
    return Wrong({"repository": {"url": url}}, "spec.repository.url", says)


def _channel(
    channel_id: Any, says: str = "must be a Discord id in quotes, 15 to 20 digits"
) -> Wrong:
    return Wrong({"discord": {"channelId": channel_id}}, "spec.discord.channelId", says)


def _access(*, at: str = "", says: str = "", **entry: Any) -> Wrong:
    return Wrong({"access": [entry]}, f"spec.access[0]{at}", says)


def _agent(at: str, says: str = "", **agent: Any) -> Wrong:
    return Wrong({"agent": agent}, f"spec.agent{at}", says)


def _env(at: str, says: str = "", **variable: Any) -> Wrong:
    return _agent(f".env[0]{at}", says, env=[variable])


def _scaling(field: str, value: Any, says: str = "") -> Wrong:
    return Wrong({"scaling": {field: value}}, f"spec.scaling.{field}", says)


def _workspace(at: str, says: str = "", **workspace: Any) -> Wrong:
    return Wrong({"workspace": workspace}, f"spec.workspace{at}", says)


def _limits(at: str, says: str = "", **limits: Any) -> Wrong:
    return Wrong({"limits": limits}, f"spec.limits.{at}", says)


def _pod(at: str, says: str = "", **pod: Any) -> Wrong:
    return Wrong({"pod": pod}, f"spec.pod.{at}", says)


def _volume(at: str, says: str = "", **volume: Any) -> Wrong:
    whole = {"name": "data", "mountPath": "/data", "emptyDir": {}} | volume
    return _pod(f"extraVolumes[0]{at}", says, extraVolumes=[whole])


def _egress(at: str, says: str = "", **rule: Any) -> Wrong:
    return Wrong({"network": {"egress": [rule]}}, f"spec.network.egress[0].{at}", says)


_FORM = "must be https://HOST/PATH, ssh://USER@HOST/PATH or USER@HOST:PATH"
_CREDENTIALS = "put them into a Secret of type kubernetes.io/basic-auth"
_NAME = "must be the name of an object: lower-case letters, digits, '-' and '.'"
_EITHER = "must name either a roleId or a userId"
_AMOUNT = "has an amount that is no quantity"
_RESERVED = "has a key that RepoBridge itself sets"
_TAKEN = "must be a plain absolute path outside of /workspace"
_VALUES = "needs values, unless the operator is Exists or DoesNotExist"

REFUSED: Mapping[str, Wrong] = {
    # ids
    "channel: a name": _channel("general"),
    "channel: too short": _channel("12345"),
    "channel: too long": _channel("1" * 21, ""),
    "channel: with a sign": _channel("-123581321345589144"),
    "channel: with a blank": _channel(f"{CHANNEL[:-1]} "),
    "channel: a link": _channel("https://discord.com", ""),
    "channel: without quotes": _channel(1123581321345589144, ""),
    "channel: missing": Wrong({"discord": {}}, "spec.discord.channelId"),
    "threads: unknown": Wrong(
        {"discord": {"channelId": CHANNEL, "threads": "Each"}}, "spec.discord.threads"
    ),
    # repository
    "url: missing": Wrong({"repository": {}}, "spec.repository.url"),
    "url: empty": _repository("", _FORM),
    "url: a token": _repository("https://ghp_secret@github.com/acme/payments.git", _CREDENTIALS),
    "url: user and password": _repository("https://me:secret@github.com/acme/p.git", _CREDENTIALS),
    "url: a password for ssh": _repository("ssh://git:secret@github.com/acme/p.git", _CREDENTIALS),
    "url: an absolute path": _repository("/srv/git/payments.git", _FORM),
    "url: a relative path": _repository("../payments", _FORM),
    "url: a file": _repository("file:///srv/git/payments.git", _FORM),
    "url: http": _repository("http://github.com/acme/payments.git", _FORM),
    "url: git's own protocol": _repository("git://github.com/acme/payments.git", _FORM),
    "url: a remote helper": _repository("ext::sh -c id", _FORM),
    "url: an option": _repository("--upload-pack=/bin/sh", _FORM),
    "url: an option for a host": _repository("ssh://-oProxyCommand=id/x", _FORM),
    "url: an option for a user": _repository("ssh://-oProxyCommand=id@host/x", _FORM),
    "url: an option in the short form": _repository("git@-oProxyCommand=id:x", _FORM),
    "url: a query": _repository("https://github.com/acme/p.git?token=secret", _FORM),
    "url: a blank": _repository("https://github.com/acme/p p.git", _FORM),
    "url: a line break": _repository("https://github.com/acme/p.git\n", _FORM),
    "url: no host": _repository("https:///acme/p.git", _FORM),
    "url: no path": _repository("https://github.com", _FORM),
    "url: a port that is none": _repository("https://github.com:99999/acme/p.git", _FORM),
    "url: huge": _repository("https://github.com/" + "a" * 2000, ""),
    "ref: an option": Wrong(
        {"repository": {"url": "https://github.com/a/b", "ref": "--exec=id"}},
        "spec.repository.ref",
        "must be a branch, a tag or a commit",
    ),
    "ref: a range": Wrong(
        {"repository": {"url": "https://github.com/a/b", "ref": "main^{commit}"}},
        "spec.repository.ref",
        "must be a branch, a tag or a commit",
    ),
    "repository: the Secret's name": Wrong(
        {"repository": {"url": "https://github.com/a/b", "credentialsSecretRef": {"name": "A_B"}}},
        "spec.repository.credentialsSecretRef.name",
        _NAME,
    ),
    # agent
    "agent: unknown": _agent(".type", type="gpt"),
    "agent: no command": _agent("", "type command needs agent.command", type="command"),
    "agent: an empty command": _agent(".command", type="command", command=[]),
    "agent: a command for claude": _agent(
        "", "agent.command is for type command", command=["aider"]
    ),
    "agent: a command as a text": _agent(".command", type="command", command="aider"),
    "agent: no chat": _agent("", "type chat needs agent.chat", type="chat"),
    "agent: a chat for claude": _agent(
        "", "agent.chat is for type chat", chat={"providers": [{"name": "a", "model": "b"}]}
    ),
    "agent: no providers": _agent(".chat.providers", type="chat", chat={"providers": []}),
    "agent: a provider's URL": _agent(
        ".chat.providers[0].baseUrl",
        "must be http://HOST/… or https://HOST/…, without a user",
        type="chat",
        chat={"providers": [{"name": "a", "model": "b", "baseUrl": "https://me:secret@host/"}]},
    ),
    "agent: an unknown mode": _agent(".permissionMode", permissionMode="yolo"),
    "agent: a model that is an option": _agent(
        ".model", "must be a model's name, such as opus", model="--dangerously-skip-permissions"
    ),
    "agent: a tool that is an option": _agent(
        ".allowedTools[0]", "must be a rule of Claude Code", allowedTools=["--mcp-config=x"]
    ),
    "agent: a huge prompt": _agent(".appendSystemPrompt", appendSystemPrompt="a" * 20_000),
    "agent: too many tools": _agent(".allowedTools", allowedTools=["Bash"] * 65),
    "env: an odd name": _env(".name", "must be the name of a variable", name="A-B", value=""),
    "env: no value": _env("", "must have either value or valueFrom", name="A"),
    "env: two values": _env(
        "",
        "must have either value or valueFrom",
        name="A",
        value="b",
        valueFrom={"secretKeyRef": {"name": "a", "key": "b"}},
    ),
    "env: from nowhere": _env(
        ".valueFrom", "must name either secretKeyRef or configMapKeyRef", name="A", valueFrom={}
    ),
    "env: a huge value": _env(".value", name="A", value="a" * 2000),
    # access
    "access: nobody": _access(says=_EITHER),
    "access: both": _access(roleId=CHANNEL, userId=CHANNEL, says=_EITHER),
    "access: a role's name": _access(
        roleId="@everyone", at=".roleId", says="must be a Discord id in quotes"
    ),
    "access: nothing": _access(roleId=CHANNEL, permissions=[], at=".permissions"),
    "access: an unknown permission": _access(
        roleId=CHANNEL, permissions=["admin"], at=".permissions[0]"
    ),
    "access: too many": Wrong({"access": [{"roleId": CHANNEL}] * 21}, "spec.access"),
    # limits
    "rate: negative": _limits("rate.user.perSecond", rate={"user": {"perSecond": -1, "burst": 1}}),
    "rate: no burst": _limits("rate.user.burst", rate={"user": {"perSecond": 1, "burst": 0}}),
    "rate: a window of days": _limits(
        "rate.windows[0].per",
        "must be a duration from 1m to 744h",
        rate={"windows": [{"per": "1d", "requests": 1}]},
    ),
    "budget: of nothing": _limits(
        "budgets[0]", "needs tokens, usd, or both", budgets=[{"per": "user"}]
    ),
    "budget: of whom": _limits("budgets[0].per", budgets=[{"per": "team", "tokens": 1}]),
    "budget: negative": _limits("budgets[0].usd", budgets=[{"per": "user", "usd": -5}]),
    # scaling
    "replicas: two": Wrong({"replicas": 2}, "spec.replicas"),
    "replicas: negative": Wrong({"replicas": -1}, "spec.replicas"),
    "minReplicas: two": _scaling("minReplicas", 2),
    "idleTimeout: no unit": _scaling("idleTimeout", "10", "must be a duration from 1s to 720h"),
    "idleTimeout: a number": _scaling("idleTimeout", 10),
    "idleTimeout: nothing": _scaling("idleTimeout", "0s", "must be a duration from 1s to 720h"),
    "idleTimeout: negative": _scaling("idleTimeout", "-5m", "must be a duration from 1s to 720h"),
    "idleTimeout: a year": _scaling("idleTimeout", "8760h", "must be a duration from 1s to 720h"),
    "maxAwake: words": _scaling("maxAwake", "a day", "must be a duration from 1m to 8784h"),
    "drainTimeout: too long": _scaling("drainTimeout", "25h", "must be a duration from 0s to 24h"),
    "sessionsPerPod: none": _scaling("sessionsPerPod", 0),
    "memoryPerSession: negative": _scaling(
        "memoryPerSession", "-600Mi", "must be a quantity of 64Mi or more"
    ),
    "memoryPerSession: bytes": _scaling(
        "memoryPerSession", 600, 'must be a quantity of 64Mi or more, written like "10Gi"'
    ),
    # workspace
    "size: negative": _workspace(".size", "must be a quantity of 64Mi or more", size="-10Gi"),
    "size: no unit": _workspace(".size", "and 10 means ten bytes", size=10),
    "size: an unknown unit": _workspace(".size", "must be a quantity of 64Mi", size="10GB"),
    "size: words": _workspace(".size", "must be a quantity of 64Mi or more", size="large"),
    "size: of another's claim": _workspace(
        "", "remove size and storageClassName, or existingClaim", size="10Gi", **CLAIMED
    ),
    "class: of another's claim": _workspace(
        "", "remove size and storageClassName, or existingClaim", storageClassName="fast", **CLAIMED
    ),
    "reclaim: another's claim": _workspace(
        "", "RepoBridge deletes only claims that it made", reclaim="Delete", **CLAIMED
    ),
    "reclaim: unknown": _workspace(".reclaim", reclaim="Recycle"),
    "subPath: absolute": _workspace(".subPath", "must be a relative path", subPath="/etc"),
    "subPath: upwards": _workspace(".subPath", "must not lead out of", subPath="a/../../b"),
    # resources
    "resources: negative": Wrong(
        {"resources": {"limits": {"memory": "-1Gi"}}}, "spec.resources.limits", _AMOUNT
    ),
    "resources: words": Wrong(
        {"resources": {"requests": {"cpu": "two"}}}, "spec.resources.requests", _AMOUNT
    ),
    "resources: no resource": Wrong(
        {"resources": {"requests": {"a b": "1"}}},
        "spec.resources.requests",
        "has a key that is no resource",
    ),
    "resources: more than the limit": Wrong(
        {"resources": {"requests": {"cpu": "3"}, "limits": {"cpu": "2500m"}}},
        "spec.resources",
        "requests more of something than its limit allows",
    ),
    # pod
    "image: an option": _pod("image", "must be an image such as", image="-v"),
    "labels: ours": _pod("labels", _RESERVED, labels={"repobridge.dev/bridge": "other"}),
    "labels: the manager": _pod("labels", _RESERVED, labels={"app.kubernetes.io/managed-by": "x"}),
    "labels: a key": _pod("labels", "has a key that is no label's key", labels={"a b": "c"}),
    "labels: a long key": _pod("labels", "longer than 128 characters", labels={"a" * 129: "c"}),
    "labels: a value": _pod("labels.team", labels={"team": "a b"}),
    "annotations: ours": _pod(
        "annotations", _RESERVED, annotations={"repobridge.dev/template": ""}
    ),
    "tolerations: no key": _pod(
        "tolerations[0]", "without a key the operator must be Exists", tolerations=[{"value": "a"}]
    ),
    "affinity: no values": _pod(
        "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"
        ".nodeSelectorTerms[0].matchExpressions[0]",
        _VALUES,
        affinity={
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In"}]}]
                }
            }
        },
    ),
    "affinity: a weight": _pod(
        "affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight",
        affinity={
            "podAntiAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {"weight": 101, "podAffinityTerm": POD_TERM}
                ]
            }
        },
    ),
    "volume: from nowhere": _pod(
        "extraVolumes[0]",
        "must have exactly one of configMap, secret, emptyDir, persistentVolumeClaim, csi",
        extraVolumes=[{"name": "data", "mountPath": "/data"}],
    ),
    "volume: from two": _volume("", "must have exactly one of", secret={"secretName": "a"}),
    "volume: over the workspace": _volume(".mountPath", _TAKEN, mountPath="/workspace/checkout"),
    "volume: over the certificate": _volume(".mountPath", _TAKEN, mountPath="/etc/repobridge/"),
    "volume: over everything": _volume(".mountPath", _TAKEN, mountPath="/"),
    "volume: around a corner": _volume(".mountPath", _TAKEN, mountPath="/data/../workspace"),
    "volume: relative": _volume(".mountPath", "must be an absolute path", mountPath="data"),
    "volume: upwards": _volume(".subPath", "must not lead out of the volume", subPath="../x"),
    "volume: negative": _volume(
        ".emptyDir.sizeLimit", "must be a quantity of 1 or more", emptyDir={"sizeLimit": "-1"}
    ),
    "volume: two at one place": _pod(
        "extraVolumes",
        "mounts two volumes at one place",
        extraVolumes=[
            {"name": name, "mountPath": "/data", "emptyDir": {}} for name in ("one", "two")
        ],
    ),
    "runtime class: a name": _pod("runtimeClassName", _NAME, runtimeClassName="g Visor"),
    # network
    "egress: a range": _egress(
        "to[0].ipBlock.cidr",
        "must be a range of addresses such as 192.0.2.0/24",
        to=[{"ipBlock": {"cidr": "github.com"}}],
    ),
    "egress: bits beyond the mask": _egress(
        "to[0].ipBlock.cidr",
        "with no bits beyond its mask",
        to=[{"ipBlock": {"cidr": "192.0.2.7/24"}}],
    ),
    "egress: an exception": _egress(
        "to[0].ipBlock.except[0]",
        "must be a range of addresses",
        to=[{"ipBlock": {"cidr": "192.0.2.0/24", "except": ["192.0.2.7"]}}],
    ),
    "egress: two kinds of peer": _egress(
        "to[0]",
        "must have either ipBlock, or podSelector",
        to=[{"ipBlock": {"cidr": "192.0.2.0/24"}, "podSelector": {}}],
    ),
    "egress: no peer": _egress("to[0]", "must have either ipBlock, or podSelector", to=[{}]),
    "egress: no port": _egress("ports[0].port", "must be a port", ports=[{"port": 70_000}]),
    "egress: an odd port": _egress("ports[0].port", "must be a port", ports=[{"port": "443"}]),
    "egress: a range of a name": _egress(
        "ports[0]", "endPort ends a range that begins", ports=[{"port": "https", "endPort": 444}]
    ),
    "egress: a range backwards": _egress(
        "ports[0]", "endPort ends a range that begins", ports=[{"port": 444, "endPort": 443}]
    ),
    "egress: too many peers": Wrong(
        {"network": {"egress": [{"to": [{"podSelector": {}}] * 9}] * 2}},
        "spec.network.egress",
        "names more than 16 peers in all",
    ),
}
"""Refused in an object that stands alone."""


@dataclass(frozen=True)
class WrongChange:
    """A change of a good spec that is refused."""

    before: Mapping[str, Any]
    after: Mapping[str, Any]
    path: str
    says: str


def _change(before: Mapping[str, Any], after: Mapping[str, Any], says: str) -> WrongChange:
    return WrongChange({"workspace": before}, {"workspace": after}, "spec.workspace", says)


_SHRINKS = "size can only grow, as no volume shrinks"
_CLASS = "storageClassName can't be changed"
HERE, THERE = ({"url": f"https://github.com/acme/{name}.git"} for name in ("here", "there"))

REFUSED_CHANGES: Mapping[str, WrongChange] = {
    "size: smaller": _change({"size": "20Gi"}, {"size": "10Gi"}, _SHRINKS),
    "size: smaller by its unit": _change({"size": "20Gi"}, {"size": "20G"}, _SHRINKS),
    "size: left out again": _change({"size": "20Gi"}, {}, _SHRINKS),
    "size: below the default": _change({}, {"size": "5Gi"}, _SHRINKS),
    "class: another": _change({"storageClassName": "a"}, {"storageClassName": "b"}, _CLASS),
    "class: named late": _change({}, {"storageClassName": "b"}, _CLASS),
    "class: left out again": _change({"storageClassName": "a"}, {}, _CLASS),
}

TAKEN_CHANGES: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "size: larger": ({"workspace": {"size": "10Gi"}}, {"workspace": {"size": "20Gi"}}),
    "size: the same in other words": (
        {"workspace": {"size": "1Gi"}},
        {"workspace": {"size": "1024Mi"}},
    ),
    "size: said what it was": ({}, {"workspace": {"size": "10Gi"}}),
    "to another's claim": ({"workspace": {"storageClassName": "a"}}, {"workspace": CLAIMED}),
    # Only the runner knows whether it was cloned already.
    "another url": ({"repository": HERE}, {"repository": THERE}),
    "ref": ({"repository": HERE}, {"repository": HERE | {"ref": "next"}}),
    "channel": (
        {"discord": {"channelId": CHANNEL}},
        {"discord": {"channelId": CHANNEL[::-1]}},
    ),
}
"""Changes that are taken, though they come near to one that is not."""
