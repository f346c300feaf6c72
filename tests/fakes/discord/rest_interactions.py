"""REST: the first answer to an interaction, and everything that its token allows after it."""

from __future__ import annotations

from tests.fakes.discord.call import Call, Result, Route
from tests.fakes.discord.drafts import apply_edit, check_body, draft_of
from tests.fakes.discord.interactions import Callback, Interaction, wrong_type
from tests.fakes.discord.model import Json, Message, MessageFlag
from tests.fakes.discord.refusal import refusal
from tests.fakes.discord.snowflakes import parse

_TOKEN = "/webhooks/{application_id}/{token}"


def call_back(call: Call) -> Result:
    """Answer an interaction for the first time."""
    token = call.params["token"]
    interaction = call.interactions.acknowledging(call.id_of("interaction_id"), token)
    body = call.fields
    told = body.get("type")
    if told not in {int(item) for item in interaction.allowed}:
        raise wrong_type(interaction, told)
    callback = Callback(told)
    _act(call, interaction, callback, body.get("data") or {})
    interaction.callback = callback
    call.world.note()
    if call.query.get("with_response", "").lower() in ("1", "true"):
        return _response(call, interaction)
    return None


def follow_up(call: Call) -> Result:
    """Write one more message; the first one takes the place of the bot's thinking."""
    interaction = _interaction(call)
    body = call.fields
    check_body(body, call.uploads)
    original = interaction.original
    if original is not None and original.flags & MessageFlag.LOADING:
        if call.interactions.is_gone(original):
            raise refusal(10008)
        _fill(call, original, body)
        return call.world.json_of(original)
    is_ephemeral = bool(int(body.get("flags") or 0) & MessageFlag.EPHEMERAL)
    draft = draft_of(call.world, interaction.channel, body, call.uploads)
    message = call.interactions.post(interaction, draft, is_ephemeral=is_ephemeral)
    interaction.follow_ups.append(message)
    is_awaited = call.query.get("wait", "").lower() in ("1", "true")
    return call.world.json_of(message) if is_awaited else None


def get_answer(call: Call) -> Result:
    """The first answer, or a follow-up by id."""
    return call.world.json_of(_message(call, _interaction(call)))


def edit_answer(call: Call) -> Result:
    """Change the first answer, or a follow-up by id."""
    message = _message(call, _interaction(call))
    check_body(call.fields, call.uploads)
    _fill(call, message, call.fields)
    return call.world.json_of(message)


def delete_answer(call: Call) -> Result:
    """Delete the first answer, or a follow-up by id."""
    interaction = _interaction(call)
    message = _message(call, interaction)
    call.interactions.delete(message)
    if message is interaction.original:
        interaction.original = None
    else:
        interaction.follow_ups.remove(message)
    return None


ROUTES = (
    Route("POST", "/interactions/{interaction_id}/{token}/callback", call_back, needs_token=False),
    Route("POST", _TOKEN, follow_up, needs_token=False),
    Route("GET", f"{_TOKEN}/messages/{{message_id}}", get_answer, needs_token=False),
    Route("PATCH", f"{_TOKEN}/messages/{{message_id}}", edit_answer, needs_token=False),
    Route("DELETE", f"{_TOKEN}/messages/{{message_id}}", delete_answer, needs_token=False),
)


def _act(call: Call, interaction: Interaction, callback: Callback, data: Json) -> None:
    is_ephemeral = bool(int(data.get("flags") or 0) & MessageFlag.EPHEMERAL)
    match callback:
        case Callback.MESSAGE:
            check_body(data, call.uploads, prefix="data.")
            draft = draft_of(call.world, interaction.channel, data, call.uploads)
            interaction.original = call.interactions.post(
                interaction, draft, is_ephemeral=is_ephemeral
            )
            interaction.is_ephemeral = is_ephemeral
        case Callback.DEFERRED_MESSAGE:
            call.interactions.defer(interaction, is_ephemeral=is_ephemeral)
            interaction.is_ephemeral = is_ephemeral
        case Callback.DEFERRED_UPDATE:
            interaction.original = interaction.source
        case Callback.UPDATE:
            if interaction.source is None:
                raise wrong_type(interaction, int(callback))
            check_body(data, call.uploads, prefix="data.")
            interaction.original = interaction.source
            apply_edit(call.world, interaction.source, data, call.uploads)
        case Callback.CHOICES:
            call.interactions.choose(interaction, data)
        case Callback.MODAL:
            call.interactions.show_modal(interaction, data)


def _interaction(call: Call) -> Interaction:
    if call.id_of("application_id") != call.world.application.id:
        raise refusal(10015)
    return call.interactions.answered(call.params["token"])


def _message(call: Call, interaction: Interaction) -> Message:
    wanted = call.params["message_id"]
    if wanted == "@original":
        if interaction.original is None or call.interactions.is_gone(interaction.original):
            raise refusal(10008)
        return interaction.original
    message_id = parse(wanted, field="message_id")
    answers = [*interaction.follow_ups, *([interaction.original] if interaction.original else [])]
    for message in answers:
        if message.id == message_id:
            return message
    raise refusal(10008)


def _fill(call: Call, message: Message, body: Json) -> None:
    """Change an answer; while the bot still thinks, that is its first text."""
    is_loading = bool(message.flags & MessageFlag.LOADING)
    if is_loading:
        message.flags &= ~MessageFlag.LOADING
    try:
        apply_edit(call.world, message, body, call.uploads)
    except BaseException:
        message.flags |= MessageFlag.LOADING if is_loading else 0
        raise


def _response(call: Call, interaction: Interaction) -> Json:
    callback = interaction.callback
    if callback is None:
        raise AssertionError("it was answered just now")
    told: Json = {"id": str(interaction.id), "type": int(interaction.kind)}
    response: Json = {"interaction": told, "resource": {"type": int(callback)}}
    message = interaction.original
    if message is not None:
        told["response_message_id"] = str(message.id)
        told["response_message_loading"] = bool(message.flags & MessageFlag.LOADING)
        told["response_message_ephemeral"] = interaction.is_ephemeral
        if callback in (Callback.MESSAGE, Callback.UPDATE):
            response["resource"]["message"] = call.world.json_of(message)
    return response
