"""The limits of embeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.fakes.discord.refusal import FormErrors

_TEXTS: Mapping[str, int] = {"title": 256, "description": 4096}
_NESTED: Mapping[tuple[str, str], int] = {("footer", "text"): 2048, ("author", "name"): 256}
_LINKS = ("url", "image.url", "thumbnail.url", "author.url", "footer.icon_url", "author.icon_url")
_TOTAL = 6000


def check_embeds(errors: FormErrors, embeds: object) -> None:
    """At most ten, each within its limits, and 6,000 characters in all."""
    if not isinstance(embeds, list):
        errors.add("embeds", "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType")
        return
    errors.check_count("embeds", len(embeds), most=10)
    total = sum(_check_embed(errors, f"embeds.{i}", embed) for i, embed in enumerate(embeds))
    if total > _TOTAL:
        message = f"Embed size exceeds maximum size of {_TOTAL}"
        errors.add("embeds", "MAX_EMBED_SIZE_EXCEEDED", message)


def _check_embed(errors: FormErrors, where: str, embed: Mapping[str, Any]) -> int:
    total = 0
    for name, most in _TEXTS.items():
        text = str(embed.get(name) or "")
        errors.check_length(f"{where}.{name}", text, most=most)
        total += len(text)
    for (outer, inner), most in _NESTED.items():
        if outer in embed:
            text = str(embed[outer].get(inner) or "")
            errors.check_length(f"{where}.{outer}.{inner}", text, most=most)
            total += len(text)
    for name in _LINKS:
        _check_link(errors, f"{where}.{name}", _at(embed, name))
    if not 0 <= int(embed.get("color") or 0) <= 0xFFFFFF:
        message = "int value should be between 0 and 16777215."
        errors.add(f"{where}.color", "NUMBER_TYPE_MAX", message)
    fields = embed.get("fields") or []
    errors.check_count(f"{where}.fields", len(fields), most=25)
    for i, item in enumerate(fields):
        for name, most in {"name": 256, "value": 1024}.items():
            text = str(item.get(name) or "")
            errors.check_length(f"{where}.fields.{i}.{name}", text.strip(), least=1, most=most)
            total += len(text)
    return total


def _check_link(errors: FormErrors, where: str, link: object) -> None:
    if link is None:
        return
    if not str(link).startswith(("http://", "https://", "attachment://")):
        message = f'Scheme "{str(link).partition(":")[0]}" is not supported. '
        errors.add(where, "URL_TYPE_INVALID_SCHEME", message + "Scheme must be http or https.")


def _at(embed: Mapping[str, Any], name: str) -> object:
    outer, dot, inner = name.partition(".")
    found = embed.get(outer)
    return found.get(inner) if dot and isinstance(found, dict) else found if not dot else None
