"""The names of writes, and how long a proposal is good for."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.cards.playbook import playbook_blocks
from bot.domain.proposal import LIFETIME, Write, named_by, write_id, written
from tests.cards.samples import ANSWER, NOW, write

KINDS = ("task", "comment")


def test_the_name_of_a_write_is_the_same_on_every_machine() -> None:
    """A changed namespace would write twice what an older version wrote: it is for good."""
    assert write_id("p_5fUqz0wYy3T9kq1s", "task", 0) == "1b758040-1737-5471-ab4a-cde091aa38ea"
    assert Write("p", "task", 3, "u", "Ana", NOW).guid == write_id("p", "task", 3)


proposals = st.text(st.characters(codec="utf-8", exclude_characters="/"), max_size=30)
writes = st.tuples(proposals, st.sampled_from(KINDS), st.integers(0, 99))


@given(writes, writes)
def test_different_writes_have_different_names(
    one: tuple[str, str, int], other: tuple[str, str, int]
) -> None:
    names = [write_id(*each) for each in (one, other)]  # type: ignore[arg-type]
    assert (names[0] == names[1]) is (one == other)
    assert UUID(names[0]).version == 5


@pytest.mark.parametrize(
    ("age", "expired"),
    [
        (timedelta(0), False),
        (timedelta(minutes=-5), False),  # two replicas' clocks differ
        (LIFETIME, False),
        (LIFETIME + timedelta(microseconds=1), True),
        (timedelta(days=400), True),
    ],
)
def test_a_proposal_is_good_for_a_week(age: timedelta, expired: bool) -> None:
    assert ANSWER.expired(ANSWER.created + age) is expired


def test_only_a_finished_write_counts_as_written() -> None:
    done, begun = write("task", 1), write("task", 0, done=False)
    assert written([begun, done], "task", 1) == done
    assert written([begun, done], "task", 0) is None
    assert written([begun, done], "comment", 1) is None
    assert written([], "task", 1) is None


# --- what a button carries -----------------------------------------------------------------------

PREPARED = replace(
    ANSWER,
    id="playbook-1",
    kind="playbook",
    secret="s3cret",
    message={**ANSWER.message, "notes": ()},
)


def test_what_was_asked_for_is_named_by_its_own_id() -> None:
    assert ANSWER.button_id("contoso", "19:a") == ANSWER.id
    assert named_by(ANSWER.id) == ANSWER.id


def test_what_was_prepared_is_named_for_each_room() -> None:
    id = PREPARED.button_id("contoso", "19:a;messageid=1")
    assert id == PREPARED.button_id("contoso", "19:a") == PREPARED.shown_in("contoso", "19:a").id
    assert named_by(id) == "playbook-1" and len(id) == len("playbook-1.") + 32
    others = [
        PREPARED.button_id("fabrikam", "19:a"),
        PREPARED.button_id("contoso", "19:b"),
        replace(PREPARED, secret="another").button_id("contoso", "19:a"),
    ]
    assert len({id, *others}) == 4


def test_the_secret_is_not_shown_by_accident() -> None:
    assert "s3cret" not in repr(PREPARED)
    assert "s3cret" not in str(playbook_blocks(PREPARED, (), 999))
