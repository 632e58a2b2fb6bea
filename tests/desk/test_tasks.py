"""The list of tasks: short enough, and whatever the model sends."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.desk.tasks import MAX_CHARS, MAX_TASKS, propose_tasks, shortened
from bot.domain.proposal import Item
from bot.errors import ModelBusy
from tests.azure.model_double import fails, whole
from tests.desk.conftest import Room


class Quiet:
    """A courier to nobody."""

    async def working(self, text: str) -> None: ...

    def write(self, text: str) -> None: ...


def task(title: Any = "Call the user", description: Any = "Ask about 07:41.") -> dict[str, Any]:
    return {"title": title, "description": description}


async def propose(room: Room, data: Any) -> Any:
    room.model.answers = [whole(data if isinstance(data, str) else json.dumps(data))]
    return await propose_tasks(room.desk, room.said("tasks"), room.ref(), Quiet())


def items(proposed: Any) -> list[tuple[str, str]]:
    return [(item.title, item.text) for item in proposed.proposal.items]


CALL = ("Call the user", "Ask about 07:41.")
RESET = ("Reset", "Ask about 07:41.")


@pytest.mark.parametrize(
    ("data", "kept"),
    [
        ({"tasks": [task()]}, [CALL]),
        ({"tasks": [task(" Call the user\n", " Ask about 07:41. ")]}, [CALL]),
        ({"tasks": [task(description=None)]}, [("Call the user", "")]),
        ({"tasks": [{"title": "Call the user"}]}, [("Call the user", "")]),
        ({"tasks": [task(), None, 5, "x", [], {}, task(title=""), task(title=None)]}, [CALL]),
        ({"tasks": [task()], "more": True}, [CALL]),
        ({"tasks": [task()] * 99}, [CALL]),
        ({"tasks": [task(), task("CALL  the user", "Now."), task("Reset")]}, [CALL, RESET]),
        (
            {"tasks": [task(f"Call the user: {n}") for n in range(99)]},
            [(f"Call the user: {n}", CALL[1]) for n in range(MAX_TASKS)],
        ),
        (f"```json\n{json.dumps({'tasks': [task()]})}\n```", [CALL]),
        ({"tasks": [task(title="  "), task()]}, [CALL]),
    ],
)
async def test_a_list_is_read_leniently(room: Room, data: Any, kept: list[tuple[str, str]]) -> None:
    proposed = await propose(room, data)
    assert items(proposed) == kept
    assert proposed.note == "" and proposed.turn is not None
    assert proposed.proposal.provenance.model == "gpt-5.4-mini-2026-03-17"
    assert proposed.audit.detail["outcome"] == f"{len(kept)} tasks"
    assert proposed.turn.answer.startswith("1. Call the user: ")


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"tasks": None},
        {"tasks": "Call the user"},
        {"tasks": {}},
        {"tasks": []},
        {"tasks": [[], 1]},
        {"tasks": [task(title="")]},
        [],
        "sorry",
        '{"tasks": [{"title": "Call',
    ],
)
async def test_the_playbook_helps_where_there_is_no_task(room: Room, data: Any) -> None:
    proposed = await propose(room, data)
    assert 1 <= len(proposed.proposal.items) <= 6
    assert proposed.note.endswith("These tasks come from the playbook: no model wrote them.")
    assert proposed.turn is None
    assert proposed.proposal.provenance.model == ""
    assert sum(len(title) + len(text) for title, text in items(proposed)) < MAX_CHARS


async def test_a_model_that_is_down_leaves_the_playbook(room: Room) -> None:
    room.model.answers = [fails(500)]
    proposed = await propose_tasks(room.desk, room.said("tasks"), room.ref(), Quiet())
    assert "no model wrote them" in proposed.note


async def test_a_busy_model_says_when_to_come_back(room: Room) -> None:
    room.model.answers = [fails(429, "RateLimitReached", "slow down", retry_after="45")]
    with pytest.raises(ModelBusy) as caught:
        await propose_tasks(room.desk, room.said("tasks"), room.ref(), Quiet())
    assert caught.value.retry_after == 45


# --- under 2,000 characters ----------------------------------------------------------------------

texts = st.text(max_size=30) | st.integers(0, 4_000).map(lambda size: "x" * size)


@given(st.lists(st.builds(Item, texts, texts), max_size=15))
def test_any_list_is_shortened_to_under_2000_characters(proposed: list[Item]) -> None:
    kept = shortened(proposed)
    assert sum(len(item.title) + len(item.text) for item in kept) < 2_000
    assert len(kept) <= MAX_TASKS and bool(kept) is bool(proposed)
    for item, before in zip(kept, proposed, strict=False):
        assert item.title == before.title[:150]
        assert before.text.startswith(item.text)
    whole = kept[1:]
    assert [item.text for item in whole] == [item.text for item in proposed[1 : len(kept)]]


@pytest.mark.parametrize(
    ("sizes", "kept"),
    [
        ([(10, 1_989)], [1_999]),
        ([(10, 1_990)], [1_999]),
        ([(999, 0)], [150]),
        ([(10, 990), (10, 989)], [1_000, 999]),
        ([(10, 990), (10, 990)], [1_000]),
        ([(10, 990), (10, 990), (1, 1)], [1_000]),  # what comes after a gap would be out of order
        ([(10, 9_000), (1, 1)], [1_999]),
        ([(1, 1)] * 12, [2] * 10),
    ],
)
def test_the_first_tasks_are_kept(sizes: list[tuple[int, int]], kept: list[int]) -> None:
    proposed = [Item("t" * title, "x" * text) for title, text in sizes]
    assert [len(item.title) + len(item.text) for item in shortened(proposed)] == kept
