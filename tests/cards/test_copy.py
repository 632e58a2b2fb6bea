"""What is shown defanged can be copied as it was, and is live nowhere on the card."""

import json
import re
from datetime import timedelta

import pytest

from bot.cards import MAX_BYTES, Card, answer_card, rows_card, size
from bot.domain.proposal import Item
from bot.domain.query import Column, Rows
from tests.cards.reading import labels, walk
from tests.cards.samples import CHECKED, NOW, proposal

ADDRESS = "https://www.evil.example/a?b=c.d"


def rows(value: str, count: int = 1) -> Card:
    given = Rows((Column("Url", "string"),), ((value,),) * count, timespan=timedelta(days=1))
    return rows_card(given, CHECKED, NOW)


def copied(card: Card) -> list[str]:
    blocks = [part["inlines"] for part in walk(card) if part.get("type") == "RichTextBlock"]
    return ["".join(run["text"] for run in runs) for runs in blocks]


@pytest.mark.parametrize(
    "card", [answer_card(proposal(Item("t", f"See [it]({ADDRESS}).")), ()), rows(ADDRESS)]
)
def test_an_address_is_copied_whole_and_never_live(card: Card) -> None:
    assert "Copy addresses" in labels(card)
    assert copied(card) == [ADDRESS]
    written = re.sub(r'"\$schema": "[^"]*"', "", json.dumps(card))
    assert "https://" not in written and "www.e" not in written and "evil.example" not in written


@pytest.mark.parametrize("card", [answer_card(proposal(Item("t", "Nothing.")), ()), rows("x")])
def test_without_an_address_there_is_no_button(card: Card) -> None:
    assert "Copy addresses" not in labels(card)


def test_many_long_addresses_fit() -> None:
    many = " ".join(f"https://{n}.example/{'a.' * 150}" for n in range(90))
    card = answer_card(proposal(Item("t", many)), ())
    assert size(card) <= MAX_BYTES and 0 < len(copied(card)) <= 20
    assert size(rows(many, 90)) <= MAX_BYTES
