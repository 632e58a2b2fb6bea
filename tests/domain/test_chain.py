"""Any single change, deletion, insertion or swap in the audit's chain is found, and where."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.chain import (
    Break,
    Link,
    Mark,
    break_at_end,
    break_between,
    break_with,
    linked,
)

texts = st.text(max_size=8)
scalars = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | texts
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3))
items = st.dictionaries(texts, values, max_size=3)
starts = st.sampled_from([Mark(), Mark(41, "ab" * 32)])
recorded = st.lists(items, min_size=1, max_size=7)


NOTHING = Mark()


def chain(recorded: Iterable[dict], start: Mark = NOTHING) -> list[Link]:
    links: list[Link] = []
    for item in recorded:
        links.append(linked(links[-1].mark if links else start, item))
    return links


def first_break(links: Sequence[Link], start: Mark, head: Mark) -> Break | None:
    at = start
    for link in links:
        if found := break_between(at, link):
            return found
        at = link.mark
    return break_at_end(at, head)


@given(recorded, starts)
def test_a_chain_that_nobody_touched_holds(recorded, start) -> None:
    links = chain(recorded, start)
    assert [link.seq for link in links] == list(range(start.seq + 1, start.seq + len(links) + 1))
    assert first_break(links, start, links[-1].mark) is None


@given(recorded, starts, st.data())
def test_a_changed_item_is_found_where_it_is(recorded, start, data) -> None:
    links = chain(recorded, start)
    index = data.draw(st.integers(0, len(links) - 1))
    other = data.draw(items.filter(lambda item: item != links[index].item))
    spoilt = [*links]
    spoilt[index] = replace(links[index], item=other)
    found = first_break(spoilt, start, links[-1].mark)
    assert found is not None and found.seq == links[index].seq


@given(recorded, starts, st.data())
def test_a_changed_item_with_its_hash_worked_out_anew_is_found_at_the_next(
    recorded, start, data
) -> None:
    links = chain(recorded, start)
    index = data.draw(st.integers(0, len(links) - 1))
    other = data.draw(items.filter(lambda item: item != links[index].item))
    before = links[index - 1].mark if index else start
    spoilt = [*links]
    spoilt[index] = linked(before, other)
    found = first_break(spoilt, start, links[-1].mark)
    if index < len(links) - 1:
        assert found is not None and found.seq == links[index].seq + 1
    else:
        assert break_with(links[-1].mark, spoilt[-1]) is not None


@given(recorded, starts, st.data())
def test_a_deleted_item_is_found_where_it_was(recorded, start, data) -> None:
    links = chain(recorded, start)
    index = data.draw(st.integers(0, len(links) - 1))
    found = first_break(links[:index] + links[index + 1 :], start, links[-1].mark)
    assert found is not None and found.seq == links[index].seq


@given(recorded, starts, st.data())
def test_two_items_in_each_others_place_are_found(recorded, start, data) -> None:
    links = chain([*recorded, {"more": 1}], start)
    first, second = sorted(
        data.draw(st.lists(st.integers(0, len(links) - 1), min_size=2, max_size=2, unique=True))
    )
    swapped = [*links]
    swapped[first], swapped[second] = links[second], links[first]
    found = first_break(swapped, start, links[-1].mark)
    assert found is not None and found.seq == links[first].seq
    renumbered = [*links]
    renumbered[first] = replace(links[second], seq=links[first].seq)
    renumbered[second] = replace(links[first], seq=links[second].seq)
    found = first_break(renumbered, start, links[-1].mark)
    assert found is not None and found.seq == links[first].seq


@given(recorded, starts, items, st.data())
def test_an_item_put_in_is_found(recorded, start, item, data) -> None:
    links = chain(recorded, start)
    index = data.draw(st.integers(0, len(links) - 1))
    before = links[index - 1].mark if index else start
    spoilt = [*links[:index], linked(before, item), *links[index:]]
    found = first_break(spoilt, start, links[-1].mark)
    assert found is not None and found.seq == links[index].seq + 1


@pytest.mark.parametrize("field", ["previous", "hash"])
@given(recorded, starts, st.data())
def test_a_changed_hash_is_found(field, recorded, start, data) -> None:
    links = chain(recorded, start)
    index = data.draw(st.integers(0, len(links) - 1))
    links[index] = replace(links[index], **{field: "0" * 64})
    found = first_break(links, start, Mark(links[-1].seq, ""))
    assert found is not None and found.seq == links[index].seq


@given(recorded, st.data())
def test_an_end_cut_off_is_found_by_the_head(recorded, data) -> None:
    links = chain(recorded)
    left = data.draw(st.integers(0, len(links) - 1))
    found = first_break(links[:left], Mark(), links[-1].mark)
    assert found == Break(left + 1, f"Items after {left} are missing: {len(links)} were recorded.")


def test_the_order_of_names_is_not_part_of_an_item() -> None:
    assert linked(Mark(), {"a": 1, "b": 2}).hash == linked(Mark(), {"b": 2, "a": 1}).hash


def test_a_hash_can_be_worked_out_with_any_tool() -> None:
    """`printf '{"item":{"a":"é"},"previous":"","seq":1}' | sha256sum`"""
    link = linked(Mark(), {"a": "é"})
    assert link.hash == "7395b3aaf39a88f51e1f228b02cf8edd0a8bdf0fe5f0617c9b25a4a15344448a"
    assert str(link.mark) == f"1:{link.hash}"


@pytest.mark.parametrize(
    ("dropped", "sentence"),
    [
        (slice(1, 2), "Item 2 is missing."),
        (slice(1, 4), "Items 2 to 4 are missing."),
    ],
)
def test_a_gap_is_named(dropped: slice, sentence: str) -> None:
    links = chain({"n": n} for n in range(5))
    head = links[-1].mark
    del links[dropped]
    assert first_break(links, Mark(), head) == Break(2, sentence)


def test_a_mark_that_was_noted_says_whether_the_item_is_the_same() -> None:
    link = linked(Mark(), {"a": 1})
    assert break_with(link.mark, link) is None
    assert break_with(Mark(2, "0" * 64), link) is None
    found = break_with(Mark(1, "0" * 64), link)
    assert found == Break(1, "Item 1 is another one than its hash was noted for.")
