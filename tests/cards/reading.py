"""Reads cards: their texts, buttons, queries and tables."""

from collections.abc import Iterator
from typing import Any

from bot.cards import Card


def walk(value: Any) -> Iterator[Card]:
    """Yield every object in a card."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value:
        if isinstance(inner, dict | list):
            yield from walk(inner)


def buttons(card: Card) -> list[Card]:
    return [one for part in walk(card) for one in part.get("actions", [])]


def labels(card: Card) -> list[str]:
    return [button["title"] for button in buttons(card)]


def words(card: Card) -> list[str]:
    """Every text that is read as Markdown."""
    blocks = [part["text"] for part in walk(card) if part.get("type") == "TextBlock"]
    return blocks + [fact["value"] for part in walk(card) for fact in part.get("facts", [])]


def code(card: Card) -> str:
    """The query on a card, as a browser copies it."""
    runs = [run["text"] for part in walk(card) for run in part.get("inlines", [])]
    return "".join(runs).replace("\u00a0", " ")


def cells(card: Card) -> list[list[str]]:
    """The lines of a card's table."""
    return [
        [item["text"] for cell in part["cells"] for item in cell["items"]]
        for part in walk(card)
        if part.get("type") == "TableRow"
    ]


def fact(card: Card, name: str) -> str | None:
    pairs = [pair for part in walk(card) for pair in part.get("facts", [])]
    return next((pair["value"] for pair in pairs if pair["title"] == name), None)
