"""What invokes are answered with, in the shapes that Teams documents."""

from __future__ import annotations

from typing import Any

from ..ports import JsonObject, Unfurled

ADAPTIVE_CARD = "application/vnd.microsoft.card.adaptive"
LOGIN_REQUEST = "application/vnd.microsoft.activity.loginRequest"
PRECONDITION_FAILED = "application/vnd.microsoft.error.preconditionFailed"
INCORRECT_CODE = "application/vnd.microsoft.error.incorrectAuthCode"


def answer(status: int, type: str, value: Any) -> JsonObject:
    """Answer a button in one of the ways that Teams knows (docs: universal-actions)."""
    return {"statusCode": status, "type": type, "value": value}


def card(content: JsonObject) -> JsonObject:
    """Answer a button with the card in its new state."""
    return answer(200, ADAPTIVE_CARD, content)


def said(sentence: str) -> JsonObject:
    """Answer a button with a sentence for the one who pressed it."""
    return answer(200, "application/vnd.microsoft.activity.message", sentence)


def problem(status: int, code: str, message: str) -> JsonObject:
    """Answer a button that cannot be read."""
    return answer(status, "application/vnd.microsoft.error", {"code": code, "message": message})


def unfurled(found: Unfurled) -> JsonObject:
    """Answer a pasted link: a list of one card, of none, or a message (docs: link-unfurling,
    respond-to-search).
    """
    if found.sentence:
        return {"composeExtension": {"type": "message", "text": found.sentence}}
    attachments: list[JsonObject] = []
    if found.card is not None:
        preview = {"title": found.title, "text": found.line}
        attachments.append(
            {
                "contentType": ADAPTIVE_CARD,
                "content": found.card,
                "preview": {
                    "contentType": "application/vnd.microsoft.card.thumbnail",
                    "content": preview,
                },
            }
        )
    listed = {"type": "result", "attachmentLayout": "list", "attachments": attachments}
    return {"composeExtension": listed}
