"""Our values as Discord's JSON, and Discord's messages as our values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from repobridge_gateway.chat import (
    ArchivedThread,
    ArchivePage,
    Attachment,
    ChatMessage,
    Person,
    Place,
)
from repobridge_gateway.render.pieces import Button, Modal, Piece, Row, Select, TextInput

Json = dict[str, Any]
_ACTION_ROW, _BUTTON, _SELECT, _TEXT_INPUT, _LABEL = 1, 2, 3, 4, 18
_SHORT, _LONG = 1, 2
_SUPPRESS_EMBEDS, _EPHEMERAL = 1 << 2, 1 << 6
_TEXT_TYPES = {0, 19}
_THREAD_TYPES = {10, 11, 12}
NOBODY: Json = {"parse": [], "replied_user": True}
"""Nothing in an agent's words pings anyone; who asked is told that there is an answer."""


def message_payload(piece: Piece, *, nonce: str = "", is_private: bool = False) -> Json:
    """What creates a message."""
    flags = _SUPPRESS_EMBEDS * piece.suppress_embeds | _EPHEMERAL * is_private
    payload: Json = {"content": piece.content, "allowed_mentions": NOBODY, "flags": flags}
    if piece.components:
        payload["components"] = rows_payload(piece.components)
    if piece.reply_to:
        # What was asked may be deleted by now: the answer comes all the same.
        payload["message_reference"] = {"message_id": piece.reply_to, "fail_if_not_exists": False}
    if nonce:
        payload |= {"nonce": nonce, "enforce_nonce": True}
    return payload


def edit_payload(piece: Piece) -> Json:
    """What changes a message to a piece, its components too."""
    return {
        "content": piece.content,
        "allowed_mentions": NOBODY,
        "components": rows_payload(piece.components),
        "flags": _SUPPRESS_EMBEDS * piece.suppress_embeds,
    }


def rows_payload(rows: Sequence[Row]) -> list[Json]:
    """Components as action rows."""
    return [
        {"type": _ACTION_ROW, "components": [_item_payload(item) for item in row.items]}
        for row in rows
    ]


def _item_payload(item: Button | Select) -> Json:
    if isinstance(item, Button):
        return {
            "type": _BUTTON,
            "style": item.style.value,
            "label": item.label,
            "custom_id": item.custom_id,
            "disabled": item.disabled,
        }
    options = [
        {"label": each.label, "value": each.value, "default": each.default}
        | ({"description": each.description} if each.description else {})
        for each in item.options
    ]
    return {
        "type": _SELECT,
        "custom_id": item.custom_id,
        "options": options,
        "min_values": item.min_values,
        "max_values": item.max_values,
        "disabled": item.disabled,
    } | ({"placeholder": item.placeholder} if item.placeholder else {})


def modal_payload(modal: Modal) -> Json:
    """What opens a form."""
    return {
        "custom_id": modal.custom_id,
        "title": modal.title,
        "components": [_labelled(each) for each in modal.inputs],
    }


def _labelled(each: TextInput) -> Json:
    field: Json = {
        "type": _TEXT_INPUT,
        "custom_id": each.custom_id,
        "style": _LONG if each.is_long else _SHORT,
        "required": each.required,
        "max_length": each.max_units,
    }
    field |= {"placeholder": each.placeholder} if each.placeholder else {}
    field |= {"value": each.value} if each.value else {}
    label: Json = {"type": _LABEL, "label": each.label, "component": field}
    return label | ({"description": each.description} if each.description else {})


def message_from(raw: Mapping[str, Any], place: Place, *, me: str) -> ChatMessage | None:
    """A message of a channel's history; None for what no person wrote. Its author has no roles."""
    author = raw["author"]
    if author.get("bot") or raw.get("webhook_id") or raw.get("type", 0) not in _TEXT_TYPES:
        return None
    return ChatMessage(
        message_id=str(raw["id"]),
        place=place,
        author=Person(
            user_id=str(author["id"]),
            display_name=str(author.get("global_name") or author["username"]),
        ),
        content=str(raw.get("content", "")),
        attachments=tuple(map(attachment_from, raw.get("attachments") or ())),
        reply_to=str((raw.get("message_reference") or {}).get("message_id") or ""),
        mentions_us=any(str(each["id"]) == me for each in raw.get("mentions") or ()),
    )


def place_from(raw: Mapping[str, Any], *, me: str) -> Place:
    """Where a channel or thread is."""
    is_thread = raw.get("type") in _THREAD_TYPES
    return Place(
        guild_id=str(raw.get("guild_id") or ""),
        channel_id=str(raw["id"]),
        parent_id=str(raw["parent_id"]) if is_thread else "",
        is_ours=is_thread and str(raw.get("owner_id")) == me,
    )


def archive_from(raw: Mapping[str, Any], *, me: str) -> ArchivePage:
    """Some threads of an archive."""
    threads = tuple(
        ArchivedThread(
            place=place_from(each, me=me),
            archived_at=str(each["thread_metadata"]["archive_timestamp"]),
            last_message_id=str(each.get("last_message_id") or each["id"]),
        )
        for each in raw["threads"]
    )
    return ArchivePage(threads, has_more=bool(raw.get("has_more")))


def attachment_from(raw: Mapping[str, Any]) -> Attachment:
    """A file of a message."""
    return Attachment(
        attachment_id=str(raw["id"]),
        name=str(raw["filename"]),
        size=int(raw["size"]),
        media_type=str(raw.get("content_type") or ""),
        url=str(raw["url"]),
    )
