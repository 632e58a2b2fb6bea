"""What may never stand in anything that leaves Casemate, whoever wrote it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

# Zero-width, joiner, bidirectional and tag characters, lone surrogates, and what moves a cursor.
HIDDEN = re.compile(
    "[\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff"
    "\x00-\x08\x0b-\x1f\x7f-\x9f\U000e0000-\U000e007f]"
)
LIVE = re.compile(
    r"(?:https?|ftps?|file|msteams|ms-word|search-ms)://"
    r"|\bwww\.|\bjavascript:\w|\bdata:text|\bmailto:\w"
    r"|\]\(|\]\[|!\["  # Markdown's links, also by reference, and its images
    r"|</?at\b|<(?:img|a|script|svg|iframe|style|link|meta|form|input|base|object)\b",
    re.IGNORECASE,
)
EXPRESSION = re.compile(r"\$\{|\{\{")  # what a card evaluates
TRACE = re.compile(r"Traceback|\.py\", line|site-packages")
# Addresses that are the format's own.
_OF_THE_FORMAT = {"$schema", "@context", "@type", "type"}
_TAG = re.compile(
    r"</?(?:p|br|strong|em|code|pre|ul|ol|li|h3|h4|hr|blockquote|table|thead|tbody|tr|th|td) ?/?>"
)


def wrong_in_activity(activity: Any, ours: tuple[str, ...]) -> list[str]:
    """Say what is live, hidden or ours to keep in what was sent; `ours` begin permitted links."""
    return [
        f"{name}: {wrong} in {text[:300]!r}"
        for name, text in strings(activity)
        if name not in _OF_THE_FORMAT and not (name == "url" and text.startswith(ours))
        for wrong in _wrong(text, EXPRESSION)
    ]


def wrong_in_html(html: str) -> list[str]:
    """Say what is wrong with a task's description or a comment: only bare, known tags may stand."""
    rest = _TAG.sub("", html)
    tags = re.findall(r"<[a-z/!?][^>]{0,40}", rest, re.IGNORECASE)
    return [f"{wrong} in {html[:300]!r}" for wrong in [*tags, *_wrong(rest)]]


def wrong_in_field(text: str) -> list[str]:
    """Say what is wrong with a title or a closing comment, which may be read as HTML or not."""
    tags = re.findall(r"<[a-z/!?][^>]{0,40}", text, re.IGNORECASE)
    return [f"{wrong} in {text[:300]!r}" for wrong in [*tags, *_wrong(text)]]


def _wrong(text: str, *more: re.Pattern[str]) -> list[str]:
    found = [pattern.search(text) for pattern in (HIDDEN, LIVE, TRACE, *more)]
    return [ascii(each[0]) for each in found if each]


def strings(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Every string of a JSON value with the name that it stands under."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from strings(each, key)
    elif isinstance(value, list):
        for each in value:
            yield from strings(each, name)


_FENCED = re.compile(
    r"=====(?P<kind>EVIDENCE|ROWS|NOTES) (?P<marker>\w+)=====\n(?P<body>.*?)"
    r"\n=====END (?P=kind) (?P=marker)=====",
    re.DOTALL,
)


class Request:
    """A request to the model, taken apart: what stands inside its fences, and what outside."""

    def __init__(self, body: dict[str, Any]) -> None:
        messages = body["messages"]
        self.roles = [message["role"] for message in messages]
        self.question = messages[-1]["content"]
        # What the model itself said before is its own affair.
        told = [each["content"] for each in messages if each["role"] != "assistant"]
        fences = [found for text in told for found in _FENCED.finditer(text)]
        assert fences, "nothing is fenced"
        markers = [found["marker"] for found in fences]
        [self.marker] = [found["marker"] for found in fences if found["kind"] == "EVIDENCE"]
        for marker in markers:
            assert len(marker) >= 8
            assert json.dumps(messages).count(marker) == 2, "a marker stands loose"
        self.inside = "\n".join(found["body"] for found in fences)
        self.outside = "\n".join(_FENCED.sub("", text) for text in told)
        self.lines = [json.loads(line) for line in self.inside.split("\n")]
        assert not HIDDEN.search(self.inside), "hidden characters in the evidence"
