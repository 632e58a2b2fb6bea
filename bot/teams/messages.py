"""Writes what is said as Bot Framework activities: parts, AI label, citations, cards.

Plain dicts, since the SDK's `Entity` loses everything but its type.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, cast

from ..domain.people import Place
from ..domain.rendering import unmarked
from ..ports import Citation, JsonObject, Reply
from .invokes import ADAPTIVE_CARD

OAUTH_CARD = "application/vnd.microsoft.card.oauth"

# Teams takes about 100 KB of UTF-16 and older clients 28 KB; a part with its card stays below both.
PART_CHARS = 8_000
# What is shown while it is written must be a prefix of the first part of the whole.
FIRST_PART_CHARS = PART_CHARS // 2
MAX_CITATIONS = 10
_FENCE_ROOM = 32
_FENCE = re.compile(r"^ {0,3}(`{3,20}|~{3,20})(?!`)([^`\n]{0,40})$", re.MULTILINE)


def addressed(activity: JsonObject, place: Place) -> JsonObject:
    """An activity with its sender and its conversation."""
    return {
        **activity,
        "from": {"id": place.bot_id},
        "conversation": {"id": place.conversation},
    }


def streaminfo(kind: str, *, stream: str = "", sequence: int = 0) -> JsonObject:
    """The entity that makes an activity part of a stream (docs: streaming-ux)."""
    entity: JsonObject = {"type": "streaminfo", "streamType": kind}
    if stream:
        entity["streamId"] = stream
    if sequence:
        entity["streamSequence"] = sequence
    return {"entities": [entity]}


def activities(reply: Reply) -> list[JsonObject]:
    """A reply as one or more message activities; cards go with the last one.

    A card to sign in is a message of its own, without text, as Teams' samples send it.
    """
    parts = split(reply.text) or [""]
    messages = [_message(part, reply) for part in parts]
    if reply.cards:
        messages[-1]["attachments"] = [
            {"contentType": ADAPTIVE_CARD, "content": card} for card in reply.cards
        ]
    if reply.oauth_card is not None:
        signing = {"contentType": OAUTH_CARD, "content": reply.oauth_card}
        messages.append({"type": "message", "attachments": [signing]})
    return messages


def kept_reply(stored: Any) -> Reply | None:
    """Read back a reply that was kept with its turn; None where none was."""
    if not isinstance(stored, dict):
        return None
    fields = cast(JsonObject, stored)
    return Reply(
        text=fields["text"],
        cards=tuple(fields["cards"]),
        citations=tuple(Citation(**each) for each in fields["citations"]),
        by_model=fields["by_model"],
        waits=fields.get("waits", False),
        oauth_card=fields.get("oauth_card"),
    )


def _message(text: str, reply: Reply) -> JsonObject:
    message: JsonObject = {"type": "message", "text": text, "textFormat": "markdown"}
    if reply.by_model:
        message["entities"] = [_label(text, reply.citations)]
        message["channelData"] = {"feedbackLoop": {"type": "default"}}
    return message


def _label(text: str, citations: Sequence[Citation]) -> JsonObject:
    """Teams' one root entity: made by AI, and from what (docs: format-ai-bot-messages)."""
    label: JsonObject = {
        "type": "https://schema.org/Message",
        "@type": "Message",
        "@context": "https://schema.org",
        "@id": "",
        "additionalType": ["AIGeneratedContent"],
    }
    used = [each for each in citations if f"[{each.position}]" in text][:MAX_CITATIONS]
    if used:
        label["citation"] = [_claim(each) for each in used]
    return label


@lru_cache(maxsize=1024)  # an incident's evidence is cited again in the next answer
def _claim(citation: Citation) -> JsonObject:
    appearance: dict[str, Any] = {
        "@type": "DigitalDocument",
        "name": unmarked(citation.name, 80) or "Evidence",
        "abstract": unmarked(citation.abstract, 160) or "From the incident",
    }
    if citation.url:
        appearance["url"] = citation.url
    return {"@type": "Claim", "position": citation.position, "appearance": appearance}


def split(text: str) -> list[str]:
    """Cut a long text into parts, at paragraphs where it can; a code block goes on in the next."""
    parts: list[str] = []
    while len(text) > PART_CHARS:
        window = text[: PART_CHARS - _FENCE_ROOM]
        cut = max(window.rfind(mark, PART_CHARS // 2) for mark in ("\n\n", "\n"))
        if cut < 0:
            cut = window.rfind(" ", PART_CHARS // 2)
        if cut < 0:
            cut = len(window)
        part, text = text[:cut], text[cut:].lstrip("\n")
        if fence := _open_fence(part):
            part, text = f"{part}\n{fence[1]}", f"{fence[0]}\n{text}"
        parts.append(part)
    return [*parts, text] if text else parts


def _open_fence(text: str) -> re.Match[str] | None:
    """The line that begins the code block in which a text ends."""
    opened: re.Match[str] | None = None
    for fence in _FENCE.finditer(text):
        if opened is None:
            opened = fence
        elif fence[1].startswith(opened[1]) and not fence[2].strip():
            opened = None
    return opened
