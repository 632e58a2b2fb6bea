"""What of a conversation goes to the model, and in which order."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.transcript import Message, Turn, conversation, newest_that_fit

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def turn(number: int, tokens: int = 10) -> Turn:
    return Turn(f"t{number}", f"q{number}", f"a{number}", NOON + timedelta(minutes=number), tokens)


@pytest.mark.parametrize(
    ("sizes", "budget", "kept"),
    [
        ([], 100, []),
        ([10, 10, 10], 30, [0, 1, 2]),
        ([10, 10, 10], 29, [1, 2]),
        ([10, 10, 10], 9, []),
        ([10, 10, 10], 0, []),
        ([5, 50, 5], 20, [2]),  # an older one that fits does not jump a gap
        ([5, 5, 50], 20, []),
        ([0, 0], 0, [0, 1]),
    ],
)
def test_the_newest_turns_that_fit_are_kept(sizes: list[int], budget: int, kept: list[int]) -> None:
    turns = [turn(number, size) for number, size in enumerate(sizes)]
    assert list(newest_that_fit(turns, budget)) == [turns[number] for number in kept]


@given(st.lists(st.integers(0, 500)), st.integers(-10, 5_000))
def test_what_is_kept_is_an_unbroken_end_that_fits(sizes: list[int], budget: int) -> None:
    turns = [turn(number, size) for number, size in enumerate(sizes)]
    kept = newest_that_fit(turns, budget)
    assert kept == tuple(turns[len(turns) - len(kept) :])
    assert not kept or sum(each.tokens for each in kept) <= budget
    if len(kept) < len(turns):
        assert sum(each.tokens for each in turns[len(turns) - len(kept) - 1 :]) > budget


def test_a_request_is_laid_out_with_what_is_stable_first() -> None:
    assert conversation("rules", "notes", [turn(1), turn(2)], ["evidence"], "and now?") == (
        Message("system", "rules"),
        Message("user", "notes"),
        Message("user", "q1"),
        Message("assistant", "a1"),
        Message("user", "q2"),
        Message("assistant", "a2"),
        Message("user", "evidence"),
        Message("user", "and now?"),
    )
