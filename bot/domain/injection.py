"""Finds text in the evidence that is addressed to an AI assistant, so that the card can say so.

This is a warning to the analyst, not the defence: that is the fence, the rules in the system text,
and that nothing is written without a click.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Any

from .evidence import Evidence
from .rendering import folded

_READER = r"(?:ai|llm|copilot|assistant|chatbot|language model|ki|ia)"
# Each rule is something an analyst would want to be told about. Text is folded before it is
# searched: compatibility forms unified, lower case, hidden characters out.
_RULES = (
    # It asks an assistant to drop what it was told: English, German, French, Spanish and Italian,
    # Portuguese.
    r"\b(?:ignore|disregard|forget|override)\b.{0,40}\b(?:instruction|prompt|rule|above|previous)",
    r"\b(?:ignorier|vergiss|missachte)\w*.{0,40}\b(?:anweisung|befehl|regel|vorgabe)",
    r"\b(?:ignore[zr]?|oublie[zr]?)\b.{0,40}\b(?:instruction|consigne|r[eè]gle)",
    r"\b(?:ignora|olvida|descarta)\w*\b.{0,40}\b(?:instrucci[oó]n|regla|orden|istruzion)",
    r"\b(?:ignore|esque[cç]a|desconsidere)\b.{0,40}\b(?:instru[cç]|regras|ordens)",
    # It names its reader as a machine.
    rf"\b(?:you are|act as|pretend to be) (?:now )?(?:an? |the )?{_READER}\b",
    rf"\b(?:attention|note|message|hello|dear|hey)[ ,:]+(?:to )?(?:the |any )?{_READER}\b",
    r"\b(?:system|developer|assistant) ?(?:prompt|instruction)",
    # It imitates the markup of a chat, or our own fence.
    r"<\|?(?:im_start|im_end|system|assistant)\|?>|\[/?inst\]|^\s*(?:system|assistant)\s*:",
    r"=====\s*(?:end )?evidence",
    # It asks for what only an analyst may decide.
    r"\b(?:mark|close|classify|resolve)\b.{0,40}\b(?:incident|alert|case)\b.{0,40}"
    r"\b(?:benign|false positive|resolved|closed|safe)\b",
    r"\b(?:close|resolve) (?:this|the) incident\b",
)
_ADDRESSED = re.compile("|".join(f"(?:{rule})" for rule in _RULES), re.MULTILINE | re.DOTALL)
_BASE64 = re.compile(r"[A-Za-z0-9+/]{24,}={0,2}")


def addressed_to_assistant(evidence: Evidence) -> tuple[str, ...]:
    """Name the fields whose text talks to an assistant, as "the alert's description", once each."""
    found: dict[str, None] = {}
    for exhibit in evidence.exhibits:
        for name, text in _texts("", exhibit.fields):
            if talks_to_assistant(text):
                owner = str(exhibit.fields.get("type", exhibit.kind))
                found[f"the {owner[:40].lower()}'s {name[:60]}"] = None
    return tuple(found)


def talks_to_assistant(text: str) -> bool:
    """Say whether a text reads as if it were addressed to an AI assistant."""
    return any(_ADDRESSED.search(folded(form)) for form in (text, *_decoded(text)))


def _texts(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Mapping):
        for inner, each in value.items():  # pyright: ignore[reportUnknownVariableType]
            yield from _texts(str(inner), each)  # pyright: ignore[reportUnknownArgumentType]
    elif isinstance(value, list):
        yield name, " ".join(str(each) for each in value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def _decoded(text: str) -> Iterator[str]:
    """What a base64 blob in a command line says (PowerShell's is UTF-16)."""
    for blob in _BASE64.findall(text)[:5]:
        try:
            raw = base64.b64decode(blob + "=" * (-len(blob) % 4))
        except (binascii.Error, ValueError):
            continue
        yield raw.decode("utf-16-le" if b"\x00" in raw[:8] else "utf-8", "ignore")
