"""Answers a link that was pasted into a message, in the time that Teams gives."""

from __future__ import annotations

import asyncio

from ..ports import JsonObject, Unfurl, Unfurled
from . import invokes
from .activity import analyst_of
from .failing import sentence

# Teams waits five seconds for what becomes of a link (docs: respond-to-search).
UNFURL_SECONDS = 4.0
_SLOW_LINK = "Sentinel did not answer in time, so the link is shown as it is."


async def unfurled(unfurl: Unfurl, body: JsonObject, value: JsonObject) -> JsonObject:
    """A pasted link: a card, a sentence or nothing, and never an error for who pastes it."""
    found, url = Unfurled(), value.get("url")
    try:
        async with asyncio.timeout(UNFURL_SECONDS):
            if isinstance(url, str):
                found = await unfurl(analyst_of(body), url)
    except Exception as error:
        found = Unfurled(sentence=sentence(error, slow=_SLOW_LINK, unexpected=""))
    return invokes.unfurled(found)
