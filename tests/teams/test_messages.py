"""What is said, as activities: parts, label, citations, cards."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bot.ports import Citation, Reply
from bot.teams.messages import MAX_CITATIONS, PART_CHARS, activities, addressed, split, streaminfo
from tests.teams.conftest import BOT, place

CARD = {"type": "AdaptiveCard", "version": "1.5", "body": []}


def joined(parts: list[str]) -> str:
    """The parts as one text without white space and without fences."""
    return re.sub(r"(?m)^ {0,3}(`{3,}|~{3,})\w*$|\s", "", "\n".join(parts))


def balanced(part: str) -> bool:
    """What is written after it is no part of a code block, as a Markdown parser sees it."""
    return MarkdownIt("commonmark").parse(f"{part}\n\nEND")[-2].content == "END"


@pytest.mark.parametrize("text", ["", "short", "a" * PART_CHARS])
def test_what_fits_is_one_part(text: str) -> None:
    assert split(text) == ([text] if text else [])


def test_a_cut_is_at_a_paragraph_else_a_line_else_a_word() -> None:
    for mark in ("\n\n", "\n", " "):
        text = mark.join(["word" * 50] * 100)
        parts = split(text)
        assert len(parts) > 1
        assert mark.join(part.strip() for part in parts) == text


def test_a_text_without_a_gap_is_cut_anywhere() -> None:
    text = "x" * (3 * PART_CHARS)
    assert "".join(split(text)) == text


def test_a_code_block_goes_on_in_the_next_part_in_its_language() -> None:
    rows = "\n".join(f"| where Account == {number}" for number in range(1_000))
    parts = split(f"Run this:\n```kql\nSigninLogs\n{rows}\n```\nand then that.")
    assert len(parts) > 2
    assert all(balanced(part) for part in parts)
    assert all(part.startswith("```kql\n") for part in parts[1:])
    assert all(part.endswith("\n```") for part in parts[:-1])
    assert joined(parts).count("|whereAccount==") == 1_000


@pytest.mark.parametrize(
    "before",
    [
        "```kql\nT\n```\n",  # closed again
        "```T``` is a table\n",  # not a fence
        "the fence is ``` here\n",
        "~~~\n```\n~~~\n",
        "````\n```\n````\n",
        "    ```\n",
    ],
)
def test_text_outside_a_code_block_is_cut_without_a_fence(before: str) -> None:
    text = before + "word " * 3_000
    parts = split(text)
    assert joined(parts) == joined([text])
    assert not parts[0].endswith(("```", "~~~"))
    assert parts[1].strip().startswith("word")


LINES = st.lists(
    st.sampled_from(
        [
            "```",
            "```kql",
            "~~~",
            "````",
            "```a```",
            "    ```",
            "",
            " ",
            "x" * 300,
            "word " * 60,
            "a" * 9_000,
            "- [1] b",
        ]
    )
    | st.text("ab \u00e9\u4e2d", max_size=100),
    max_size=150,
)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(LINES)
def test_no_part_is_too_long_and_nothing_is_lost(lines: list[str]) -> None:
    text = "\n".join(lines)
    parts = split(text)
    assert all(0 < len(part) <= PART_CHARS for part in parts)
    assert joined(parts) == joined([text])
    assert all(balanced(part) for part in parts[:-1])


# the whole message


def test_cards_go_with_the_last_part_and_every_part_is_labelled() -> None:
    messages = activities(Reply("word " * 4_000, (CARD, CARD), by_model=True))
    assert len(messages) == 3
    assert [len(each.get("attachments", ())) for each in messages] == [0, 0, 2]
    for message in messages:
        assert message["type"] == "message"
        assert message["entities"][0]["additionalType"] == ["AIGeneratedContent"]
        assert message["channelData"] == {"feedbackLoop": {"type": "default"}}


def test_what_no_model_wrote_is_not_labelled() -> None:
    (message,) = activities(Reply("text", (CARD,)))
    assert "entities" not in message
    assert "channelData" not in message


def test_a_card_needs_no_text() -> None:
    (message,) = activities(Reply(cards=(CARD,)))
    assert message["text"] == ""
    assert len(message["attachments"]) == 1


def test_only_sources_that_the_text_names_are_cited_and_no_more_than_teams_takes() -> None:
    citations = tuple(Citation(number, f"Alert {number}", "what") for number in range(1, 30))
    (message,) = activities(Reply("As [2] and [29] say.", citations=citations, by_model=True))
    assert [claim["position"] for claim in message["entities"][0]["citation"]] == [2, 29]
    text = " ".join(f"[{number}]" for number in range(1, 30))
    (message,) = activities(Reply(text, citations=citations, by_model=True))
    assert len(message["entities"][0]["citation"]) == MAX_CITATIONS
    (message,) = activities(Reply("Nothing.", citations=citations, by_model=True))
    assert "citation" not in message["entities"][0]


@pytest.mark.parametrize(
    ("citation", "name", "abstract", "url"),
    [
        (Citation(1, "Alert", "what"), "Alert", "what", None),
        (Citation(1, "", ""), "Evidence", "From the incident", None),
        (Citation(1, "n" * 500, "a\n" * 500), "n" * 79 + "…", "a " * 79 + "a…", None),
        (
            Citation(1, "A", "b", "https://portal.azure.com/x"),
            "A",
            "b",
            "https://portal.azure.com/x",
        ),
    ],
)
def test_a_source_is_within_teams_limits(
    citation: Citation, name: str, abstract: str, url: str | None
) -> None:
    (message,) = activities(Reply("[1]", citations=(citation,), by_model=True))
    appearance = message["entities"][0]["citation"][0]["appearance"]
    assert (appearance["name"], appearance.get("url")) == (name, url)
    assert appearance["abstract"] == abstract
    assert len(appearance["name"]) <= 80
    assert len(appearance["abstract"]) <= 160


def test_an_activity_is_addressed_to_its_conversation() -> None:
    where = place("https://smba.trafficmanager.net/emea/")
    assert addressed({"type": "typing"}, where) == {
        "type": "typing",
        "from": {"id": BOT},
        "conversation": {"id": "a:chat"},
    }


@pytest.mark.parametrize(
    ("made", "entity"),
    [
        (
            streaminfo("informative", sequence=1),
            {"streamType": "informative", "streamSequence": 1},
        ),
        (
            streaminfo("streaming", stream="s", sequence=2),
            {"streamType": "streaming", "streamId": "s", "streamSequence": 2},
        ),
        (streaminfo("final", stream="s"), {"streamType": "final", "streamId": "s"}),
    ],
)
def test_stream_information(made: dict, entity: dict) -> None:
    assert made == {"entities": [{"type": "streaminfo", **entity}]}
