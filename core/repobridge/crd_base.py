"""What the models of the API are made of: bounded values, and rules that the API server checks too.

A model is the source of three things: what `repobridge.crd.parse` takes, the schema that
`scripts.crds` writes, and the reference in the documentation. So each rule is said twice, side by
side: as CEL for the API server, and as Python for an object that was stored before the rule was.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from repobridge import durations, quantities
from repobridge.errors import RepoBridgeError

RULE_BROKEN = "rule_broken"
"""The type of pydantic's error for a broken rule, whose message is the rule's own."""
TWICE = "twice"
"""The type of its error for a list in which something stands twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What must hold for a value, and the sentence for whoever wrote one for which it doesn't."""

    cel: str
    message: str
    holds: Callable[[Any], bool] | None
    """The same in Python; None for a rule about a change, which only the API server sees."""

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Checks the rule after whatever the type itself asks for."""
        return core_schema.no_info_after_validator_function(self.checked, handler(source))

    def checked(self, value: Any) -> Any:
        """The value; raises pydantic's error with the rule's message if the rule is broken."""
        if self.holds is not None and not self.holds(value):
            # The message goes in as a parameter: it may contain braces.
            raise PydanticCustomError(RULE_BROKEN, "{message}", {"message": self.message})
        return value


class _WithoutTwins:
    """A mark on a list in which nothing stands twice: the API server looks after it, and we do."""

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Checks what the API server does."""
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def _checked(self, items: tuple[Any, ...]) -> tuple[Any, ...]:
        identities = [self.identity(item) for item in items]
        for index, each in enumerate(identities):
            if each in identities[:index]:
                raise PydanticCustomError(TWICE, "contains {item} twice", {"item": str(each)})
        return items

    def identity(self, item: Any) -> Any:
        """What tells an item from others."""
        return item


@dataclass(frozen=True, slots=True)
class ListMap(_WithoutTwins):
    """Marks a list whose items are told apart by a key, so that each may have its owner."""

    key: str

    def identity(self, item: Any) -> Any:
        """The item's key."""
        return getattr(item, self.key)


@dataclass(frozen=True, slots=True)
class ListSet(_WithoutTwins):
    """Marks a list of single values."""


@dataclass(frozen=True, slots=True)
class IntOrString:
    """Marks a value that may be written as a whole number or as a text."""

    length: int


class Model(BaseModel):
    """The base of what the API consists of; fields are camelCase outside, snake_case here.

    Fields that this version does not know are left out: a newer schema may have stored them.
    """

    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, validate_by_name=True
    )
    RULES: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="after")
    def _keeps_its_rules(self) -> Self:
        for rule in self.RULES:
            rule.checked(self)
        return self

    def as_object(self) -> dict[str, Any]:
        """The object as a manifest has it: camelCase, without what is as it is by default."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def matching(pattern: str, message: str) -> Rule:
    """The rule that a text as a whole matches a pattern (of what RE2 and Python both know)."""
    compiled = re.compile(pattern, re.ASCII)
    return Rule(
        cel=f"self.matches(r'^(?:{pattern})$')",
        message=message,
        holds=lambda value: compiled.fullmatch(value) is not None,
    )


LONGEST_KEY = 128
"""Of any mapping. Kubernetes would take 317 for a label's, but all must fit into an annotation."""


def keys_matching(pattern: str, message: str) -> Rule:
    """The rule that every key of a mapping matches a pattern, and is not too long."""
    compiled = re.compile(pattern, re.ASCII)
    return Rule(
        cel=f"self.all(key, size(key) <= {LONGEST_KEY} && key.matches(r'^(?:{pattern})$'))",
        message=message,
        holds=lambda value: all(
            len(key) <= LONGEST_KEY and compiled.fullmatch(key) is not None for key in value
        ),
    )


_DURATION = r"(?:[0-9]{1,5}(?:\.[0-9]{1,3})?(?:ms|s|m|h)){1,4}"


def duration_between(least: str, most: str) -> Rule:
    """The rule that a text is a duration within bounds."""
    lower, upper = durations.parse(least), durations.parse(most)
    written = re.compile(_DURATION, re.ASCII)

    def holds(value: str) -> bool:
        return bool(written.fullmatch(value)) and lower <= durations.parse(value) <= upper

    return Rule(
        cel=(
            f"self.matches(r'^{_DURATION}$') && duration(self) >= duration('{least}')"
            f" && duration(self) <= duration('{most}')"
        ),
        message=f'must be a duration from {least} to {most}, written like "10m" or "1h30m"',
        holds=holds,
    )


QUANTITY = r"[0-9]{1,15}(?:\.[0-9]{1,9})?(?:[KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9])?"
_written_quantity = re.compile(QUANTITY, re.ASCII)


def quantity_from(least: str) -> Rule:
    """The rule that a quantity is well written and large enough."""
    lower = quantities.parse(least)
    hint = ", and 10 means ten bytes" if lower else ", and can't be negative"
    return Rule(
        cel=(
            f"string(self).matches(r'^{QUANTITY}$')"
            f" && quantity(string(self)).compareTo(quantity('{least}')) >= 0"
        ),
        message=f'must be a quantity of {least} or more, written like "10Gi"{hint}',
        holds=lambda value: is_quantity(value) and quantities.parse(value) >= lower,
    )


def is_quantity(value: str) -> bool:
    """Whether a text is a quantity that the API takes: it has no sign."""
    return _written_quantity.fullmatch(value) is not None


def _quantity_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


_DNS_LABEL = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_DNS_NAME = rf"{_DNS_LABEL}(?:\.{_DNS_LABEL})*"
_LABEL_NAME = r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
LABEL_KEY = rf"(?:{_DNS_NAME}/)?{_LABEL_NAME}"

Quantity = Annotated[str, BeforeValidator(_quantity_text), IntOrString(32), Field(max_length=32)]
Duration = Annotated[str, Field(max_length=32)]
Snowflake = Annotated[
    str,
    Field(max_length=20),
    matching(
        "[1-9][0-9]{14,19}",
        'must be a Discord id in quotes, 15 to 20 digits such as "1123581321345589144": switch on'
        " developer mode in Discord, then right-click and choose Copy ID",
    ),
]
ObjectName = Annotated[
    str,
    Field(min_length=1, max_length=253),
    matching(_DNS_NAME, "must be the name of an object: lower-case letters, digits, '-' and '.'"),
]
LabelName = Annotated[
    str,
    Field(min_length=1, max_length=63),
    matching(_DNS_LABEL, "must consist of lower-case letters, digits and '-'"),
]
# Patterns, whose message is poorer, but which cost nothing deep inside of lists of lists.
LabelKey = Annotated[str, Field(max_length=LONGEST_KEY, pattern=f"^{LABEL_KEY}$")]
LabelValue = Annotated[str, Field(max_length=63, pattern=f"^(?:{_LABEL_NAME})?$")]
Labels = Annotated[
    Mapping[str, LabelValue],
    Field(max_length=16),
    keys_matching(
        LABEL_KEY,
        "has a key that is no label's key such as example.com/zone, or longer than 128 characters",
    ),
]
Path = Annotated[
    str,
    Field(min_length=1, max_length=256),
    matching(
        r"/[^:]*",
        "must be an absolute path without a colon",
    ),
]


class SpecError(RepoBridgeError):
    """An object is no RepoBridge that can be run; `sentence` says what to do, `path` where."""

    def __init__(self, sentence: str, path: str) -> None:
        self.sentence = sentence
        self.path = path
        super().__init__(f"{path}: {sentence}" if path else sentence)
