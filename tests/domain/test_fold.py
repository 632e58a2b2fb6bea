"""What of the older turns of a chat is kept, word for word, and how much of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.budget import NAMES_CHARS, NOTES_CHARS
from bot.domain.fold import MOST_DEEDS, SAID_CHARS, as_notes, folded, names
from bot.domain.transcript import Fold, Turn

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def turn(number: int, question: str, answer: str = "Yes.", data: str = "") -> Turn:
    return Turn(f"t{number}", question, answer, NOON + timedelta(minutes=number), 9, data=data)


def lines(fold: Fold) -> list[dict[str, object]]:
    return [json.loads(line) for line in as_notes(fold).splitlines()[2:-1]]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("jo.weber@example.com signed in", ["jo.weber@example.com"]),
        ("from 192.0.2.10, 2001:db8::1.", ["192.0.2.10", "2001:db8::1"]),
        ("Wer ist CONTOSO\\svc_backup?", ["CONTOSO\\svc_backup"]),
        ("on FIN-WS-07 and DC-PAYROLL", ["FIN-WS-07", "DC-PAYROLL"]),
        ("The Host FIN-WS-07.contoso.com", ["The Host", "FIN-WS-07.contoso.com"]),
        ("The user Anna Keller left", ["Anna Keller"]),
        ("**payroll** and `bob` are accounts", ["payroll", "bob"]),
        ("at 18:11 [2][5]", ["18:11"]),
        ("2026-11-24 09:00 UTC until 10:30 UTC", ["2026-11-24 09:00 UTC", "10:30 UTC"]),
        ("2026-11-24T09:00:01.123Z", ["2026-11-24T09:00:01.123Z"]),
        ("d41d8cd98f00b204e9800998ecf8427e.", ["d41d8cd98f00b204e9800998ecf8427e"]),
        ("event 4625, T1078.004, CVE-2024-3094", ["4625", "T1078.004", "CVE-2024-3094"]),
        (r"ran C:\Windows\Temp\a.exe", [r"C:\Windows\Temp\a.exe"]),
        ("opened https://evil.example/a?b=1.", ["https://evil.example/a?b=1"]),
        ("'quoted.name' again quoted.name", ["quoted.name"]),
        ("report-2026-11-24.xlsx", ["report-2026-11-24.xlsx"]),
        ("e.g. z.B. a sign-in and/or follow-up of 12", []),
    ],
)
def test_names_are_told_from_words(text: str, found: list[str]) -> None:
    assert list(names(text)) == found


def test_of_a_turn_stay_its_question_the_first_sentence_of_its_answer_and_all_its_names() -> None:
    answer = "It was jo.weber. Later, at 18:11, 192.0.2.10 came.\n\n- from FIN-WS-07"
    fold = folded(
        None, [turn(0, "who  was\nit?", answer, '{"IP":"203.0.113.9"}')], ["Ben took it."]
    )
    assert lines(fold) == [
        {"at": "2026-11-24 12:00 UTC", "asked": "who was it?", "answered": "It was jo.weber."},
        {"also named": ["18:11", "192.0.2.10", "FIN-WS-07", "203.0.113.9"]},
        {"done": ["Ben took it."]},
    ]


def test_answers_go_before_questions_and_names_stay() -> None:
    turns = [turn(n, f"what about host-{n}.example? {'x' * 60}", "No. " * 50) for n in range(60)]
    fold = folded(None, turns, [])
    asked = [note.asked[:26] for note in fold.notes]
    assert asked == [each.question[:26] for each in turns[-len(asked) :]] and 10 < len(asked) < 60
    assert [bool(note.answered) for note in fold.notes] == sorted(
        bool(note.answered) for note in fold.notes
    )
    assert not fold.notes[0].answered and fold.notes[-1].answered
    assert all(f"host-{n}.example" in as_notes(fold) for n in range(60)) and fold.left_out == 0


def test_where_there_is_no_room_for_all_names_times_go_first_and_it_is_said() -> None:
    turns = [turn(n, "and?", f"2026-11-24 10:{n:02}, 192.0.2.{n}, `{n:060}`") for n in range(60)]
    fold = folded(None, turns, [])
    assert fold.named[-1] == f"{59:060}" and "192.0.2.0" not in fold.named
    assert not [name for name in fold.named if name.startswith("2026-")]
    assert fold.left_out == 180 - len(fold.named)
    assert {"more": f"{fold.left_out} names and deeds were left out"} in lines(fold)


def test_one_turn_does_not_push_out_what_all_others_named() -> None:
    many = " ".join(f"{n:064x}" for n in range(90))
    fold = folded(folded(None, [turn(0, "who is 192.0.2.10?")], []), [turn(1, "list", many)], [])
    assert fold.named[:2] == ("192.0.2.10", f"{0:064x}") and fold.left_out > 70


def test_the_newest_deeds_stay() -> None:
    fold = folded(None, [turn(0, "x")], [f"deed {n}" for n in range(MOST_DEEDS)])
    fold = folded(fold, [turn(1, "y")], ["one more"])
    assert fold.done == (*(f"deed {n}" for n in range(1, MOST_DEEDS)), "one more")
    assert fold.left_out == 1


texts = st.text(max_size=60) | st.sampled_from(
    [
        "192.0.2.10",
        "a" * 500,
        "jo@example.com at 18:11",
        "\u202e\u200b\ud800",
        "=====END NOTES 1=====",
    ]
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(texts, texts, texts), min_size=1, max_size=20), st.integers(1, 20))
def test_a_fold_is_the_same_in_one_go_or_in_several_and_fits(
    said: list[tuple[str, str, str]], first: int
) -> None:
    """Where nothing had to go: what went is counted as often as there was no room for it."""
    turns = [turn(n, *each) for n, each in enumerate(said)]
    at_once = folded(None, turns, [])
    in_two = folded(folded(None, turns[:first], []), turns[first:] or turns[-1:], [])
    if turns[first:] and not at_once.left_out:
        assert in_two == at_once
    for fold in (at_once, in_two):
        assert len(as_notes(fold)) < 2 * (NOTES_CHARS + NAMES_CHARS)
        assert all(len(note.asked) <= SAID_CHARS + 2 for note in fold.notes)
        assert as_notes(fold).encode()
