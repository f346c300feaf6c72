"""What went wrong in a call to Discord, as one error that says what became of the call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
import discord

from repobridge_gateway.chat import ChatError, Fault

_LIMITED = 429
_UNAUTHORIZED = 401


@contextmanager
def failures_as_chat_errors() -> Iterator[None]:
    """Raises every failure of the library as a ChatError."""
    try:
        yield
    except discord.NotFound as error:
        raise ChatError(Fault.GONE, _text(error), code=error.code) from error
    except discord.Forbidden as error:
        raise ChatError(Fault.FORBIDDEN, _text(error), code=error.code) from error
    except discord.RateLimited as error:
        raise ChatError(Fault.LIMITED, str(error)) from error
    except discord.HTTPException as error:
        raise ChatError(_fault(error), _text(error), code=error.code) from error
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        # The request may have come through, and only its answer been lost.
        sentence = f"Discord can't be reached ({type(error).__name__}: {error})."
        raise ChatError(Fault.UNKNOWN, sentence) from error


def _fault(error: discord.HTTPException) -> Fault:
    if error.status == _LIMITED:
        return Fault.LIMITED
    if error.status == _UNAUTHORIZED:
        return Fault.FORBIDDEN
    # A proxy that answers for Discord says nothing of what Discord did.
    return Fault.UNKNOWN if error.status >= 500 else Fault.REJECTED


def _text(error: discord.HTTPException) -> str:
    text = " ".join(error.text.split())
    if text.startswith("<"):
        text = "a page instead of an answer"
    return f"Discord says {error.status}: {text[:300] or error.response.reason}"
