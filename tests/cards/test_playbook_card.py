"""What was prepared for an incident: its parts, its buttons, and what no text in it can do."""

import json
import re
from dataclasses import replace

import pytest
from markdown_it import MarkdownIt

from bot.cards import MAX_BYTES, Card, size
from bot.domain.proposal import Item, Proposal
from bot.domain.query import WrittenQuery
from tests.cards.reading import buttons, labels, words
from tests.cards.samples import (
    CHECKED,
    FLAGGED,
    UNCHECKED,
    playbook_card,
    prepared,
    proposal,
    write,
)
from tests.cards.test_cards import HOSTILE

ADDS = ["Add as comment", *["Add task"] * 3, "Tasks also as a comment", "Run", "Add query"]


def adds(card: Card) -> list[tuple[str, str, object]]:
    """What the buttons that add stand for."""
    data = [(each["title"], each["data"]) for each in buttons(card)]
    return [(title, each["as"], each["item"]) for title, each in data if each["verb"] == "add"]


def test_every_part_has_its_button() -> None:
    card = playbook_card(prepared())
    assert labels(card) == [*ADDS, "Add all"]
    assert adds(card) == [
        ("Add as comment", "comment", 0),
        ("Add task", "task", 1),
        ("Add task", "task", 2),
        ("Add task", "task", 3),
        ("Tasks also as a comment", "comment", 1),
        ("Add query", "task", 4),
        ("Add all", "task", "all"),
    ]
    assert words(card)[0] == "Tactics"
    assert "✓ checked against 61 tables" in words(card)


def test_what_was_added_says_by_whom() -> None:
    writes = [write("comment", 0), write("task", 2), write("comment", 1), write("task", 4)]
    card = playbook_card(prepared(), writes)
    assert labels(card) == ["Add task", "Add task", "Run", "Add the other 2"]
    said = [line for line in words(card) if line.startswith("✓ Added")]
    assert said == [
        "✓ Added as a comment by Dana Okafor, 10:02 UTC",
        "✓ Added by Dana Okafor, 10:02 UTC",
        "✓ Added as one comment by Dana Okafor, 10:02 UTC",
        "✓ Added to the incident by Dana Okafor, 10:02 UTC",
    ]


@pytest.mark.parametrize("done", [3, 4])
def test_no_button_adds_all_of_one(done: int) -> None:
    writes = [write("comment", 0), *(write("task", index) for index in range(1, done + 1))]
    titles = [title for title, _, _ in adds(playbook_card(prepared(), writes))]
    assert titles == ["Tasks also as a comment", *["Add query"] * (done == 3)]


@pytest.mark.parametrize(
    ("query", "says"), [(UNCHECKED, "Not checked:"), (FLAGGED, "does not fit this workspace")]
)
def test_only_a_checked_query_says_so(query: WrittenQuery, says: str) -> None:
    shown = json.dumps(playbook_card(prepared(query)))
    assert says in shown and "checked against" not in shown


def test_a_missing_part_has_its_reason_in_its_place() -> None:
    items = prepared().items[1:-1]
    message = {"warnings": ["the alert's Subject"], "notes": ["The incident names no tactic."]}
    card = playbook_card(prepared(None, items=items, message=message))
    assert labels(card) == [*["Add task"] * 3, "Tasks also as a comment", "Add all"]
    assert adds(card)[0] == ("Add task", "task", 0)
    assert "The incident names no tactic." in words(card)
    assert words(card)[0].startswith("The alert's Subject contains text addressed")


def test_a_playbook_of_nothing() -> None:
    assert labels(playbook_card(prepared(None, items=()))) == []


def with_text(text: str) -> Proposal:
    comment, task = Item(text, text, "comment"), Item(text, text)
    query = WrittenQuery(text, text, (text,), None, (text,) * 6, (text,) * 6)
    source = replace(prepared().provenance, model=text, prompt=text)
    return replace(
        proposal(comment, *[task] * 10, Item(text, text), kind="playbook", id="p" * 64),
        query=query,
        provenance=source,
        message={"warnings": [text] * 9, "notes": [text] * 3},
    )


@pytest.mark.parametrize("text", [*HOSTILE, "checked against 9 tables"])
def test_hostile_text_is_never_live(text: str) -> None:
    markdown = MarkdownIt("commonmark", {"html": True})
    card = playbook_card(with_text(text), [write("task", 3, by=text)])
    assert "Action.OpenUrl" not in json.dumps(card)
    for line in words(card):
        assert not re.search(r"<(a|img|at)\b", markdown.render(line)), line
        assert not re.search(r"\$\{|\{\{|https?://|[\u200b-\u200f\u202a-\u202e\u2066-\u2069]", line)
    assert "✓ checked" not in json.dumps(card, ensure_ascii=False)


@pytest.mark.parametrize(
    "text", ["\U0001f600", "\U000e0001", "\u200b", "www..", "<", "*", '"', "\\"]
)
def test_the_fullest_card_fits(text: str) -> None:
    full = with_text(text * 1_000)
    for done in (0, 11):
        writes = [write("task", index, by=text * 99) for index in range(done)]
        assert size(playbook_card(full, writes)) <= MAX_BYTES


def test_an_ordinary_one_shows_enough() -> None:
    items = (Item("Tactics", "word " * 400, "comment"), *[Item("Look " * 20, "x")] * 6)
    last = Item("KQL to run", "T")
    card = playbook_card(prepared(CHECKED, items=(*items, last)))
    excerpts = [line for line in words(card) if line.startswith("word")]
    assert 400 < len(excerpts[0]) <= 500
