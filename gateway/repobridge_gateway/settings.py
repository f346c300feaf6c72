"""The gateway's settings in a cluster: a file for most, REPOBRIDGE_GATEWAY_… for any."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, ClassVar

import pydantic
from pydantic import BeforeValidator, Field, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from repobridge.settings_file import SettingsError, TenancySettings, words
from repobridge.telemetry import LogFormat
from repobridge_gateway.policy_settings import PolicySettings

_PREFIX = "REPOBRIDGE_GATEWAY_"


class GatewaySettings(PolicySettings, BaseSettings):
    """Everything that a person may set; a variable is a field's name in capitals."""

    LIVE: ClassVar = frozenset({"access", "limits", "guilds", "tenancy", "log_level"})
    """What changes while the gateway runs; all else waits for a restart."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
    )

    token: pydantic.SecretStr = pydantic.SecretStr("")
    """The bot's; better in a file."""
    token_file: Path | None = None
    """A file that has it, such as an entry of a mounted Secret."""
    discord_api_base: str = ""
    """Of Discord's REST API with its version; empty: Discord's own."""
    discord_proxy: str = ""
    """An HTTP proxy for everything at Discord; empty: none."""
    store_directory: Path
    """On a volume that lasts, and that no other gateway uses."""

    namespaces: Annotated[tuple[str, ...], NoDecode, BeforeValidator(words)] = ()
    """Which namespaces are served, separated by commas in a variable; none: all of them."""
    kubeconfig: Path | None = None
    """How to reach the API server; absent: as a pod in the cluster does."""
    context: str = ""
    """Which context of that file; empty: the current one."""
    tls_directory: Path = Path("/etc/repobridge/gateway/tls")
    """The gateway's own certificate, its key and the CAs that are trusted; read anew as they
    change."""
    tenancy: tuple[TenancySettings, ...] = ()
    """Which namespaces may have which servers and channels; none: all may have all."""

    listen: str = Field(default="0.0.0.0:8080", pattern=r"^.*:[0-9]{1,5}$")
    """HOST:PORT for /healthz, /readyz and /metrics."""
    call_seconds: float = Field(default=10.0, gt=0.0)
    """The deadline of each call to the API server."""
    watch_seconds: int = Field(default=300, ge=5)
    """After how long a watch is begun anew."""
    watch_silence_seconds: float = Field(default=90.0, gt=0.0)
    """After how long without an event or bookmark (one a minute) a watch is taken for dead."""
    log_format: LogFormat = LogFormat.JSON
    """json or text."""
    log_level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = "info"
    """debug, info, warning or error."""

    @model_validator(mode="after")
    def _has_one_token(self) -> GatewaySettings:
        if bool(self.token.get_secret_value()) is (self.token_file is not None):
            raise ValueError("give either token or token_file")
        return self

    def differences(self, other: GatewaySettings) -> tuple[str, ...]:
        """The settings that are not the same, by their names."""
        names = type(self).model_fields
        return tuple(name for name in names if getattr(self, name) != getattr(other, name))

    def over(self, started: GatewaySettings) -> GatewaySettings:
        """These where they can change live, and those of the start elsewhere."""
        return started.model_copy(update={name: getattr(self, name) for name in self.LIVE})

    @property
    def level(self) -> int:
        """From which level on lines are logged, as the standard library counts them."""
        return logging.getLevelNamesMapping()[self.log_level.upper()]

    def bot_token(self) -> pydantic.SecretStr:
        """The bot's token; raises SettingsError."""
        if self.token_file is None:
            return self.token
        try:
            found = self.token_file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"The token can't be read: {error}.") from error
        if not found:
            raise SettingsError(f"{self.token_file} is empty: it is to hold the bot's token.")
        return pydantic.SecretStr(found)
