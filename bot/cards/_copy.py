"""Lets an analyst copy an address that is shown defanged elsewhere."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ._parts import Card, card, subtle

# Between the slashes, and before each dot: no run is an address, what is copied is one.
_APART = re.compile(r"(?<=:/)(?=/)|(?=\.)")
_MOST = 20


def copyable(addresses: Sequence[str]) -> list[Card]:
    """Make the button that shows addresses as they were, one a line; none where there are none.

    Text runs are not read as Markdown, and as one address on several runs it is not made a link.
    """
    if not addresses:
        return []
    lines: list[Card] = [
        {
            "type": "RichTextBlock",
            "spacing": "small",
            "inlines": [
                {"type": "TextRun", "text": part, "fontType": "monospace", "size": "small"}
                for part in _APART.split(address)
                if part
            ],
        }
        for address in addresses[:_MOST]
    ]
    warning = subtle("As they stand in the evidence. Do not open them outside a sandbox.")
    shown = card([warning, *lines])
    return [{"type": "Action.ShowCard", "title": "Copy addresses", "card": shown}]
