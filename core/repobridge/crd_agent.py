"""What a bridge works on and what works there: repository, channel, agent."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from repobridge.crd_base import (
    ListMap,
    Model,
    ObjectName,
    Rule,
    Snowflake,
    matching,
)


class SecretRef(Model):
    """A Secret in the bridge's own namespace; only the kubelet reads it."""

    name: ObjectName
    """The Secret's name."""


_PORT = "[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]"
_HOST = r"(?:[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\])"
# Printable, without '?' and '#'; the second also without ':'.
_REST, _SHORT_REST = '[!"$->@-~]', '[!"$-9;->@-~]'
# Credentials pass here, so that who wrote some reads about them, and not about forms.
_USER = "[A-Za-z0-9._~%+!$&*=;:,][A-Za-z0-9._~%+!$&*=;:,-]*@"
_LONG_URL = rf"(?:https|ssh)://(?:{_USER})?{_HOST}(?::(?:{_PORT}))?/{_REST}+"
_SHORT_URL = (
    rf"[A-Za-z0-9_][A-Za-z0-9._-]*@[A-Za-z0-9][A-Za-z0-9.-]*:/?[0-9A-Za-z_.~]{_SHORT_REST}*"
)

REPOSITORY_URL = f"{_LONG_URL}|{_SHORT_URL}"

RepositoryUrl = Annotated[
    str,
    Field(max_length=1024),
    matching(
        REPOSITORY_URL,
        "must be https://HOST/PATH, ssh://USER@HOST/PATH or USER@HOST:PATH: a local path, another"
        " protocol, an option, a '?' or a '#' is not taken",
    ),
    Rule(
        cel="!self.matches('^https://[^/]*@') && !self.matches('^ssh://[^/@]*:[^/@]*@')",
        message="carries a user or a password, for everyone to see who may read this object: put"
        " them into a Secret of type kubernetes.io/basic-auth and name that in"
        " repository.credentialsSecretRef",
        holds=lambda url: not _carries_credentials(url),
    ),
]


def _carries_credentials(url: str) -> bool:
    scheme, _, rest = url.partition("://")
    user, at, _ = rest.partition("/")[0].partition("@")
    return bool(at) and (scheme == "https" or (scheme == "ssh" and ":" in user))


class Repository(Model):
    """The repository that is checked out in the workspace."""

    url: RepositoryUrl
    """Where it is cloned from, by https or ssh. Once it is cloned, another one needs another
    workspace: the runner touches no checkout of something else."""
    ref: Annotated[
        str,
        Field(max_length=255),
        matching(
            r"(?:[!-)+,./-9;->@-Z\]_-}][!-)+-9;->@-Z\]_-}]*)?",
            "must be a branch, a tag or a commit: it can't begin with '-' or contain blanks or any"
            " of ~ ^ : ? * [ \\",
        ),
    ] = ""
    """A branch, a tag or a commit; absent: the repository's default branch."""
    credentials_secret_ref: SecretRef | None = None
    """A Secret of type kubernetes.io/basic-auth (https) or kubernetes.io/ssh-auth (ssh)."""


class Threads(StrEnum):
    """What a thread of the channel is."""

    SESSION = "Session"
    CHANNEL = "Channel"


class Discord(Model):
    """The channel in which people talk to this bridge."""

    channel_id: Snowflake
    """The channel's id, in quotes. Of two bridges that name the same one, only one is served."""
    require_mention: bool = False
    """Whether only messages that mention the bot are for the agent."""
    threads: Threads = Threads.SESSION
    """Session: each thread is a session of its own, with a worktree; Channel: all are one."""


class KeyRef(Model):
    """A key of a Secret or ConfigMap in the bridge's namespace."""

    name: ObjectName
    """The object's name."""
    key: Annotated[
        str,
        Field(max_length=253),
        matching("[-._A-Za-z0-9]+", "must consist of letters, digits, '-', '_' and '.'"),
    ]
    """The key in it."""
    optional: bool = False
    """Whether the pod starts without it."""


class EnvSource(Model):
    """Where a variable's value comes from."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="has(self.secretKeyRef) != has(self.configMapKeyRef)",
            message="must name either secretKeyRef or configMapKeyRef",
            holds=lambda s: (s.secret_key_ref is None) != (s.config_map_key_ref is None),
        ),
    )
    secret_key_ref: KeyRef | None = None
    """A key of a Secret."""
    config_map_key_ref: KeyRef | None = None
    """A key of a ConfigMap."""


class EnvVar(Model):
    """A variable of the agent's environment."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="has(self.value) != has(self.valueFrom)",
            message="must have either value or valueFrom",
            holds=lambda v: (v.value is None) != (v.value_from is None),
        ),
    )
    name: Annotated[
        str,
        Field(max_length=128),
        matching(
            "[A-Za-z_][A-Za-z0-9_]*",
            "must be the name of a variable: letters, digits and '_', no digit in front",
        ),
    ]
    """The variable's name."""
    value: Annotated[str, Field(max_length=1024)] | None = None
    """Its value as it stands, for everyone to see who may read this object."""
    value_from: EnvSource | None = None
    """Where its value comes from."""


class ChatApi(StrEnum):
    """The protocol of a language model's provider."""

    ANTHROPIC = "anthropic"
    OPENAI = "openai"


class ChatProvider(Model):
    """A provider of a language model."""

    name: Annotated[
        str,
        Field(max_length=63),
        matching("[a-z0-9](?:[-a-z0-9]*[a-z0-9])?", "must be lower-case letters, digits and '-'"),
    ]
    """What people call it."""
    api: ChatApi = ChatApi.ANTHROPIC
    """The protocol it speaks."""
    model: Annotated[str, Field(min_length=1, max_length=128)]
    """Which of its models."""
    base_url: (
        Annotated[
            str,
            Field(max_length=512),
            matching(
                'https?://[!"$->A-~]+',
                "must be http://HOST/… or https://HOST/…, without a user, a '?' or a '#'",
            ),
        ]
        | None
    ) = None
    """Where it is; absent: the protocol's own vendor."""
    api_key: KeyRef | None = None
    """The key of the Secret that holds its API key."""
    max_output_tokens: Annotated[int, Field(ge=1, le=1_000_000)] = 4096
    """How long an answer may get."""


class ChatContext(Model):
    """How much of a conversation a provider is told."""

    messages: Annotated[int, Field(ge=1, le=1000)] = 50
    """How many of the last messages."""
    tokens: Annotated[int, Field(ge=1000, le=2_000_000)] = 100_000
    """How many tokens of them, by estimate."""


class Chat(Model):
    """Language models that answer without tools: for `type: chat`."""

    providers: Annotated[
        tuple[ChatProvider, ...], Field(min_length=1, max_length=8), ListMap("name")
    ]
    """Asked in this order: the next one answers when one fails."""
    prompts: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=4096)], ...], Field(max_length=2)
    ] = ()
    """What each of them is told before the conversation."""
    context: ChatContext = ChatContext()


class AgentType(StrEnum):
    """Which kind of program answers."""

    CLAUDE = "claude"
    COMMAND = "command"
    CHAT = "chat"


class PermissionMode(StrEnum):
    """What the agent may do without asking, as Claude Code names it."""

    DEFAULT = "default"
    ACCEPT_EDITS = "acceptEdits"
    PLAN = "plan"
    AUTO = "auto"
    DONT_ASK = "dontAsk"
    BYPASS_PERMISSIONS = "bypassPermissions"


class Agent(Model):
    """Who answers, and how."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.?type.orValue('') != 'command' || has(self.command)",
            message="type command needs agent.command: the program and its arguments, such as"
            ' ["aider", "--no-auto-commits"]',
            holds=lambda a: a.type is not AgentType.COMMAND or bool(a.command),
        ),
        Rule(
            cel="self.?type.orValue('') == 'command' || !has(self.command)",
            message="agent.command is for type command: set agent.type, or remove it",
            holds=lambda a: a.type is AgentType.COMMAND or not a.command,
        ),
        Rule(
            cel="self.?type.orValue('') != 'chat' || has(self.chat)",
            message="type chat needs agent.chat with at least one provider",
            holds=lambda a: a.type is not AgentType.CHAT or a.chat is not None,
        ),
        Rule(
            cel="self.?type.orValue('') == 'chat' || !has(self.chat)",
            message="agent.chat is for type chat: set agent.type, or remove it",
            holds=lambda a: a.type is AgentType.CHAT or a.chat is None,
        ),
    )
    type: AgentType = AgentType.CLAUDE
    """claude: Claude Code; command: any program for a terminal; chat: language models alone. The
    runner of this version runs claude."""
    model: Annotated[
        str,
        Field(max_length=128),
        matching(r"(?:[A-Za-z0-9_@][!-~]*)?", "must be a model's name, such as opus"),
    ] = ""
    """The model; absent: the agent's own default."""
    permission_mode: PermissionMode = PermissionMode.DEFAULT
    """What Claude Code may do without asking."""
    append_system_prompt: Annotated[str, Field(max_length=16_384)] = ""
    """What Claude Code is told beyond its own system prompt."""
    allowed_tools: Annotated[
        tuple[
            Annotated[
                str,
                Field(max_length=128),
                matching(
                    "[A-Za-z_][ -~]*", "must be a rule of Claude Code, such as Bash(git log:*)"
                ),
            ],
            ...,
        ],
        Field(max_length=64),
    ] = ()
    """What Claude Code may use without asking, as its own permission rules."""
    resume: bool = True
    """Whether a session that slept remembers; false: it wakes empty."""
    command: Annotated[
        tuple[Annotated[str, Field(max_length=512)], ...], Field(min_length=1, max_length=32)
    ] = ()
    """The program and its arguments: for `type: command`."""
    chat: Chat | None = None
    credentials_secret_ref: SecretRef | None = None
    """A Secret whose keys are variables of the agent's environment, such as ANTHROPIC_API_KEY."""
    env: Annotated[tuple[EnvVar, ...], Field(max_length=24), ListMap("name")] = ()
    """Further variables of the agent's environment."""
