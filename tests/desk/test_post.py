"""One click writes once, in the name of who clicked, within Sentinel's limits."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from bot.desk.post import Postings, provenance
from bot.domain.incident import (
    MAX_COMMENT_CHARS,
    MAX_COMMENTS,
    MAX_TASK_DESCRIPTION_CHARS,
    MAX_TASK_TITLE_CHARS,
    MAX_TASKS,
)
from bot.domain.proposal import LIFETIME, Item, Write, write_id
from bot.errors import ClickRefused, SentinelDown, SentinelError, SentinelRefused
from sandbox.world import Fault
from tests.desk.conftest import ANA, BEN, Room

ANSWER = Item("Answer: what happened?", "**Two** accounts signed in [1].")
TASKS = (Item("Call the user", "Ask about 07:41."), Item("Reset", "Both."), Item("Search", "KQL."))


async def post(room: Room, kind: Any = "task", item: Any = 0, id: str = "p-1", **click: Any) -> Any:
    """Click on the proposal `p-1` as another process would: with locks of its own."""
    clicked = room.clicked(**click)
    return await Postings().post(room.desk, clicked, id, kind, item)


async def audit(room: Room) -> list[tuple[str, str]]:
    items = await room.desk.store.audit(room.ref(), 100)
    done = [item for item in items if item.detail.get("result") == "done"]
    return [(item.analyst_name, item.detail["kind"]) for item in done]


async def fill(room: Room, kind: str, count: int) -> None:
    """Have so many tasks or comments on the incident."""
    case = room.case()
    held = case.tasks if kind == "task" else case.comments
    held.clear()
    add = room.desk.incidents.add_task if kind == "task" else room.desk.incidents.add_comment
    texts = ("filler", "x") if kind == "task" else ("x",)
    for number in range(count):
        await add(case.name, str(UUID(int=number)), *texts)


# --- once ----------------------------------------------------------------------------------------


async def test_a_click_writes_and_a_second_one_finds_it_written(room: Room) -> None:
    await room.propose(ANSWER)
    first = await post(room)
    again = await post(room, by=BEN, later=timedelta(minutes=5))
    assert first.writes == again.writes
    assert [(each.by_name, each.done) for each in again.writes] == [("Ana Analyst", True)]
    assert room.calls()["PUT tasks"] == 1
    assert await audit(room) == [("Ana Analyst", "task")]
    written = room.case().tasks[write_id("p-1", "task", 0)]["properties"]
    assert written["title"] == ANSWER.title
    assert written["description"].startswith("<p><strong>Two</strong> accounts signed in [1].</p>")


async def test_two_clicks_at_once_write_once(room: Room) -> None:
    await room.propose(*TASKS)
    postings = Postings()
    clicks = [
        postings.post(room.desk, room.clicked(by), "p-1", "task", item)
        for by, item in ((ANA, 0), (BEN, 0), (BEN, "all"), (ANA, "all"))
    ]
    await asyncio.gather(*clicks)
    assert room.calls()["PUT tasks"] == 3
    assert len(await audit(room)) == 3


async def test_the_rest_is_written_where_some_is_there(room: Room) -> None:
    await room.propose(*TASKS)
    await post(room, item=1)
    posted = await post(room, item="all", by=BEN)
    assert [(each.index, each.by_name) for each in posted.writes] == [
        (1, "Ana Analyst"),
        (0, "Ben Becker"),
        (2, "Ben Becker"),
    ]


async def test_tasks_as_one_comment(room: Room) -> None:
    await room.propose(*TASKS)
    await post(room, "comment", "all")
    message = room.case().comments[write_id("p-1", "comment", 0)]["properties"]["message"]
    assert message.startswith("<h4>Proposed tasks</h4><p><strong>Call the user</strong></p>")
    assert message.count("<strong>") == 3


@pytest.mark.parametrize("fault", ["before", "after", "recorded"])
async def test_a_crash_is_mended_by_the_next_click(room: Room, fault: str) -> None:
    """The reply was lost after the write, or the process died on either side of it."""
    proposal = await room.propose(ANSWER)
    if fault == "recorded":
        mine = Write("p-1", "task", 0, ANA.id, ANA.name, room.clock.now())
        await room.desk.store.begin_write(mine)
        await room.desk.incidents.add_task(proposal.incident.id, mine.guid, "t", "x")
    else:
        lost = Fault("PUT", "/tasks/", status=500, after=fault == "after")
        room.world.faults.append(lost)
        with pytest.raises(SentinelDown):
            await post(room)
    tasks = len(room.case().tasks) - (fault != "before")
    assert await audit(room) == []

    posted = await post(room, by=BEN)
    assert len(room.case().tasks) == tasks + 1
    assert [(each.by_name, each.done) for each in posted.writes] == [("Ana Analyst", True)]
    assert await audit(room) == [("Ana Analyst", "task")]


# --- refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("click", "says"),
    [
        ({"by": replace(ANA, tenant="fabrikam")}, "too old, or not mine"),
        ({"conversation": "19:other"}, "another conversation"),
        ({"conversation": ""}, "another conversation"),
        ({"later": LIFETIME + timedelta(seconds=1)}, "too old"),
        ({"id": "p-1.00000000000000000000000000000000"}, "another conversation"),
        ({"id": "p-1."}, "another conversation"),
        ({"id": ".p-1"}, "too old, or not mine"),
        ({"item": 3}, "too old"),
        ({"item": -1}, "too old"),
    ],
)
async def test_a_click_that_may_not_is_refused(
    room: Room, click: dict[str, Any], says: str
) -> None:
    await room.propose(*TASKS)
    with pytest.raises(ClickRefused, match=says):
        await post(room, **click)
    assert room.world.writes == []


async def test_a_proposal_of_a_personal_chat_is_for_its_analyst(room: Room) -> None:
    await room.propose(ANSWER, only_for=ANA.id)
    with pytest.raises(ClickRefused, match="for the analyst who asked") as refused:
        await post(room, by=BEN)
    assert refused.value.reason == "another analyst"
    assert (await post(room)).writes[0].done


async def test_a_click_on_nothing_is_refused(room: Room) -> None:
    with pytest.raises(ClickRefused, match="ask again"):
        await post(room)


@pytest.mark.parametrize(
    ("proposed", "clicked"),
    [
        ("19:team;messageid=1", "19:team"),
        ("19:team", "19:team;messageid=1"),
        ("19:team;messageid=1", "19:team;messageid=1"),
    ],
)
async def test_a_client_may_leave_the_thread_out(room: Room, proposed: str, clicked: str) -> None:
    await room.propose(ANSWER, conversation=proposed)
    assert (await post(room, conversation=clicked)).writes[0].done


# --- limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "item", "there", "fits"),
    [
        ("task", 0, MAX_TASKS - 1, True),
        ("task", 0, MAX_TASKS, False),
        ("task", "all", MAX_TASKS - 3, True),
        ("task", "all", MAX_TASKS - 2, False),
        ("comment", 0, MAX_COMMENTS - 1, True),
        ("comment", 0, MAX_COMMENTS, False),
    ],
)
async def test_a_full_incident_is_told_before_anything_is_written(
    room: Room, kind: str, item: Any, there: int, fits: bool
) -> None:
    await room.propose(*TASKS)
    await fill(room, kind, there)
    room.world.log.clear()
    if fits:
        await post(room, kind, item)
        return
    with pytest.raises(SentinelRefused, match=f"has {there} of at most .* Nothing was added"):
        await post(room, kind, item)
    assert room.world.writes == []
    assert await room.desk.store.writes("p-1") == ()


@pytest.mark.parametrize(
    ("fault", "result"),
    [
        (Fault("PUT", "/tasks/", status=500), "SentinelDown"),
        (Fault("PUT", "/tasks/", status=403), "SentinelForbidden"),
        (Fault("GET", "/tasks", status=500, count=9), "SentinelDown"),
        (None, "SentinelRefused"),
    ],
)
async def test_a_write_that_failed_is_in_the_audit_with_its_guid(
    room: Room, fault: Fault | None, result: str
) -> None:
    await room.propose(ANSWER)
    if fault is None:
        await fill(room, "task", MAX_TASKS)
    else:
        room.world.faults.append(fault)
    with pytest.raises(SentinelError):
        await post(room)
    [item] = await room.desk.store.audit(room.ref(), 9)
    assert (item.action, item.detail["result"]) == ("write", result)
    assert item.detail["guid"] == write_id("p-1", "task", 0)
    assert (item.analyst_id, item.incident_number) == (ANA.id, 3177)


async def test_a_crash_at_the_last_place_is_mended_too(room: Room) -> None:
    await room.propose(ANSWER)
    await fill(room, "task", MAX_TASKS - 1)
    room.world.faults.append(Fault("PUT", "/tasks/", status=500, after=True))
    with pytest.raises(SentinelDown):
        await post(room)
    assert (await post(room)).writes[0].done


@pytest.mark.parametrize(
    "text", ["word " * 20_000, "<&>" * 20_000, "- **x**\n" * 9_000, "x" * 90_000]
)
async def test_long_text_is_cut_to_what_sentinel_takes(room: Room, text: str) -> None:
    await room.propose(Item("t" * 400, text))
    await post(room)
    await post(room, "comment")
    task = room.case().tasks[write_id("p-1", "task", 0)]["properties"]
    comment = room.case().comments[write_id("p-1", "comment", 0)]["properties"]["message"]
    assert len(task["title"]) == MAX_TASK_TITLE_CHARS
    for written, most in (
        (task["description"], MAX_TASK_DESCRIPTION_CHARS),
        (comment, MAX_COMMENT_CHARS),
    ):
        assert 0.8 * most < len(written) <= most
        assert "(cut)" in written and "Added by Ana Analyst with Casemate" in written


# --- the line under it ---------------------------------------------------------------------------


async def test_what_is_written_says_where_it_comes_from(room: Room) -> None:
    proposal = await room.propose(ANSWER)
    write = Write("p-1", "task", 0, BEN.id, BEN.name, room.clock.now())
    assert provenance(proposal, write) == (
        "<p><em>Added by Ben Becker with Casemate, 2026-11-24 09:00 UTC. Ana Analyst asked: "
        "“what happened?”. Model gpt-5.4-mini, prompt 0123456789ab. Evidence: 2 alert.</em></p>"
    )
    origin = replace(proposal.provenance, model="", evidence=())
    line = provenance(replace(proposal, provenance=origin), write)
    assert "From the playbook, no model. Evidence: none." in line


HOSTILE = (
    "</em><script>x</script><a href='https://evil.example'>a</a> \u202e &amp; https://evil.example"
)


async def test_no_name_and_no_question_is_live_in_it(room: Room) -> None:
    proposal = await room.propose(ANSWER)
    origin = replace(
        proposal.provenance,
        asked_by=HOSTILE,
        question=HOSTILE * 9,
        model=HOSTILE,
        evidence=("<b>/x",),
    )
    write = Write("p-1", "task", 0, "u", HOSTILE, room.clock.now())
    line = provenance(replace(proposal, provenance=origin), write)
    inner = line.removeprefix("<p><em>").removesuffix("</em></p>")
    assert "<" not in inner and "\u202e" not in inner and "https://" not in inner
    assert len(line) < 1_000


async def test_nothing_hostile_is_live_in_what_is_written(room: Room) -> None:
    await room.propose(Item(HOSTILE, HOSTILE + "[a](https://evil.example)"))
    await post(room, by=replace(ANA, name=HOSTILE))
    await post(room, "comment")
    task = room.case().tasks[write_id("p-1", "task", 0)]["properties"]
    comment = room.case().comments[write_id("p-1", "comment", 0)]["properties"]["message"]
    for written in (task["description"], comment, task["title"]):
        assert "https://" not in written and "\u202e" not in written
    for written in (task["description"], comment):
        assert "<script" not in written and "<a" not in written and "](" not in written
