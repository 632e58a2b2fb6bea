"""What invokes are answered with, in the shapes that Teams documents."""

from __future__ import annotations

from ..ports import JsonObject, Unfurled

ADAPTIVE_CARD = "application/vnd.microsoft.card.adaptive"


def card(content: JsonObject) -> JsonObject:
    """Answer a button with the card in its new state (docs: universal-actions)."""
    return {"statusCode": 200, "type": ADAPTIVE_CARD, "value": content}


def said(sentence: str) -> JsonObject:
    """Answer a button with a sentence for the one who pressed it."""
    return {
        "statusCode": 200,
        "type": "application/vnd.microsoft.activity.message",
        "value": sentence,
    }


def problem(status: int, code: str, message: str) -> JsonObject:
    """Answer a button that cannot be read."""
    return {
        "statusCode": status,
        "type": "application/vnd.microsoft.error",
        "value": {"code": code, "message": message},
    }


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
