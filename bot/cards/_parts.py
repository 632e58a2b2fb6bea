"""The pieces that cards are made of, and the size that every card keeps to.

Only semantic colours are used, so that a card follows Teams' light, dark and high-contrast themes.
"""

from __future__ import annotations

import bisect
import json
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from ..domain.rendering import plain

Card = dict[str, Any]

MAX_BYTES = 24_000

# The most characters a single text may have, longest first. With the last, the fullest card fits
# even if each character takes twelve bytes of JSON.
_SHARES = (
    10_000, 9_000, 8_000, 7_000, 6_000, 4_500, 3_000, 2_000, 1_500,
    1_000, 700, 450, 300, 200, 120, 70, 40, 20, 8, 4,
)  # fmt: skip

_SEVERITIES = {"high": "attention", "medium": "warning", "low": "accent"}


def size(card: Card) -> int:
    """Count a card's bytes in whichever is larger: UTF-16, as Teams counts, or escaped JSON."""
    text = json.dumps(card, ensure_ascii=False)
    if text.isascii():
        return 2 * len(text)
    return max(len(json.dumps(card)), len(text.encode("utf-16-le", "surrogatepass")))


def fitted(build: Callable[[int], Card], longest: int = 1_500) -> Card:
    """Build a card with the longest texts that keep it under `MAX_BYTES`.

    `build` takes the most characters that any one untrusted text may have, `longest` at first.
    """
    shares = [share for share in _SHARES if share <= longest]
    if size(whole := build(shares[0])) <= MAX_BYTES:
        return whole
    fits = bisect.bisect_left(
        shares, True, lo=1, hi=len(shares) - 1, key=lambda share: size(build(share)) <= MAX_BYTES
    )
    return build(shares[fits])


def card(body: Sequence[Card], actions: Sequence[Card] = ()) -> Card:
    """Put elements and buttons on a card."""
    made: Card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.5",
        "body": list(body),
    }
    if actions:
        made["actions"] = list(actions)
    return made


def text(words: str, **style: Any) -> Card:
    """Show text that is ours or has passed `plain` or `excerpt`; it wraps on a phone."""
    return {"type": "TextBlock", "text": words, "wrap": True, **style}


def title(words: str) -> Card:
    """Head a card; screen readers announce it as a heading."""
    return text(words, style="heading", size="medium", weight="bolder")


def subtle(words: str, **style: Any) -> Card:
    """Show what matters less."""
    return text(words, isSubtle=True, size="small", **style)


def facts(pairs: Sequence[tuple[str, str]]) -> Card:
    """Show names and values, leaving out those with no value."""
    shown = [{"title": name, "value": value} for name, value in pairs if value]
    return {"type": "FactSet", "facts": shown}


def notices(warnings: Sequence[str], note: str, share: int) -> list[Card]:
    """Put what an analyst must see first at the top: suspicious text, then a weaker note."""
    blocks: list[Card] = []
    if warnings:
        lines = [text(plain(warning, min(300, share)), spacing="small") for warning in warnings[:4]]
        if len(warnings) > 4:
            lines.append(text(f"and {len(warnings) - 4} more", spacing="small"))
        lines[0] |= {"weight": "bolder", "spacing": "none"}
        blocks.append({"type": "Container", "style": "attention", "items": lines})
    if note:
        line = text(plain(note, min(300, share)))
        blocks.append({"type": "Container", "style": "warning", "items": [line]})
    return blocks


def severity_colour(severity: str) -> str:
    """Give a severity its semantic colour; one that nobody has seen yet gets none."""
    return _SEVERITIES.get(severity.lower(), "default")


def execute(label: str, data: Card) -> Card:
    """Make a button that the bot answers in place; `data` names a `verb` and opaque ids only.

    Clients without Universal Actions send the fallback, so both carry the same data.
    """
    return {
        "type": "Action.Execute",
        "title": label,
        "verb": data["verb"],
        "data": dict(data),
        "fallback": submit(label, dict(data)),
    }


def submit(label: str, data: Card) -> Card:
    """Make a button that is answered with a message; `data` is as for `execute`."""
    return {"type": "Action.Submit", "title": label, "data": data}


def say(label: str, words: str) -> Card:
    """Make a button that says `words` in the analyst's name.

    A plain `Action.Submit`: `imBack` needs a mention in a channel, and some clients drop it.
    """
    return submit(label, {"verb": "say", "words": words})


def open_link(label: str, url: str) -> list[Card]:
    """Make a button for a web address of the portal, or none where it is not a plain one."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return []
    odd = not url.isascii() or not url.isprintable() or " " in url or "${" in url
    if parts.scheme not in ("http", "https") or not parts.netloc or odd or len(url) > 2_000:
        return []
    return [{"type": "Action.OpenUrl", "title": label, "url": url}]


def beside(left: list[Card], right: list[Card], *, stretch_first: bool = False) -> Card:
    """Put elements side by side; one side takes the room that the other leaves."""
    widths = ("stretch", "auto") if stretch_first else ("auto", "stretch")
    columns = [
        {"type": "Column", "width": width, "items": items, "verticalContentAlignment": "center"}
        for width, items in zip(widths, (left, right), strict=True)
    ]
    return {"type": "ColumnSet", "columns": columns, "spacing": "small"}


def action_set(buttons: Sequence[Card]) -> Card:
    """Put buttons between elements."""
    return {"type": "ActionSet", "actions": list(buttons)}


def action_rows(buttons: Sequence[Card]) -> list[Card]:
    """Put buttons two by two: on a phone a row has no room for more, and does not wrap."""
    return [action_set(buttons[at : at + 2]) for at in range(0, len(buttons), 2)]
