"""The original playbook: three parts, each for itself, prepared once and written once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from bot.desk.enrich import Budget, Enrichment, enrich, playbook_question, post
from bot.desk.post import Postings
from bot.desk.tactics import explain_tactics
from bot.domain.incident import MAX_COMMENTS, MAX_TASKS
from bot.domain.proposal import LIFETIME, playbook_id, write_id
from bot.domain.query import WrittenQuery
from bot.errors import ClickRefused, IncidentNotFound, ModelBusy, SentinelDown
from sandbox.world import Fault
from tests.azure.model_double import Says, document, fails, usage, whole
from tests.desk.conftest import ANA, BEN, Room

TACTICS = ("InitialAccess", "Persistence", "CommandAndControl")
MEANT = {name: f"{name} shows in the sign-in of lena.fischer [2]." for name in TACTICS}
TASKS = {"Call the user": "Ask about 07:41 [2].", "Remove the rule": "Export it first [3]."}
KQL = "SigninLogs\n| where IPAddress in~ (addresses)"
DOWN = fails(500)


def said(data: Any) -> Says:
    return whole(data if isinstance(data, str) else json.dumps(data))


def choices(*data: Any) -> Says:
    """One answer with several choices, though one was asked for."""
    listed = [
        {"index": at, "message": {"content": json.dumps(each)}, "finish_reason": "stop"}
        for at, each in enumerate(data)
    ]
    return document({**usage(), "choices": listed})


def tactics(meant: dict[str, str]) -> dict[str, Any]:
    return {"tactics": [{"name": name, "description": text} for name, text in meant.items()]}


def tasks(titles: dict[str, str]) -> dict[str, Any]:
    return {"tasks": [{"title": title, "description": text} for title, text in titles.items()]}


def query(kql: str = KQL) -> dict[str, Any]:
    return {"query": kql, "explanation": "Sign-ins from there.", "assumptions": []}


def model(room: Room, **answers: Says) -> None:
    """Have the model say this to requests by the name of their schema; all is well by default."""
    given = {
        "tactics": said(tactics(MEANT)),
        "tasks": said(tasks(TASKS)),
        "kql": said(query()),
        **answers,
    }

    async def before() -> None:
        asked = room.model.asked[-1]["response_format"]["json_schema"]["name"]
        room.model.answers = [given[asked]]

    room.model.before = before


def kinds(enrichment: Enrichment) -> list[tuple[str, str]]:
    return [(item.kind, item.title) for item in enrichment.proposal.items]


def have_tactics(room: Room, *names: str) -> None:
    for alert in room.case().alerts:
        alert["properties"]["tactics"] = list(names)


WHOLE = [
    ("comment", "Tactics of incident 3177"),
    ("task", "Call the user"),
    ("task", "Remove the rule"),
    ("task", "KQL to run"),
]


# --- what is prepared ----------------------------------------------------------------------------


async def test_the_three_parts_in_their_order(room: Room) -> None:
    model(room)
    prepared = await enrich(room.desk, room.ref())
    proposal = prepared.proposal
    assert kinds(prepared) == WHOLE
    assert prepared.notes == ()
    assert (proposal.id, proposal.kind) == (f"playbook-{room.case().name}", "playbook")
    assert (proposal.tenant, proposal.conversation) == ("", "")
    assert proposal.items[0].text.startswith(
        "**Initial Access** (TA0001): InitialAccess shows in the sign-in of lena.fischer [2].\n\n"
    )
    assert proposal.query is not None and proposal.query.kql.endswith(KQL)
    assert proposal.items[3].text.startswith("Not checked against this workspace")
    assert await room.desk.store.proposal(proposal.id) == proposal
    [audit] = await room.desk.store.audit(room.ref(), 9)
    assert (audit.action, audit.analyst_id, audit.detail["rounds"]) == ("enrich", "", 3)
    assert audit.detail["prompt_tokens"] == 60


async def test_the_query_is_asked_to_carry_the_tasks_out(room: Room) -> None:
    model(room)
    await enrich(room.desk, room.ref())
    [asked] = [
        body["messages"][-1]["content"]
        for body in room.model.asked
        if body["response_format"]["json_schema"]["name"] == "kql"
    ]
    assert "- Call the user\n- Remove the rule" in asked
    assert "- Call the user\n- Remove the rule" in await playbook_question(room.desk, room.ref())
    assert await playbook_question(room.desk, room.ref(3178)) == ""


async def test_who_asked_is_in_the_audit_and_not_in_what_is_everybodys(room: Room) -> None:
    model(room)
    prepared = await enrich(room.desk, room.ref(), asked=room.said("prepare it"))
    assert ANA.name not in repr(prepared)
    [audit] = await room.desk.store.audit(room.ref(), 9)
    assert (audit.tenant, audit.analyst_name) == (ANA.tenant, ANA.name)
    await room.desk.store.forget_analyst(ANA.tenant, ANA.id)
    assert await room.desk.store.proposal(prepared.proposal.id)


@pytest.mark.parametrize(
    ("part", "answer", "left", "note"),
    [
        ("tactics", DOWN, WHOLE, "The tactics are explained by the playbook"),
        ("tactics", said("sorry"), WHOLE, "The tactics are explained by the playbook"),
        ("tactics", said(tactics({})), WHOLE, "The tactics are explained by the playbook"),
        ("tactics", said(tactics({"Impact": "x"})), WHOLE, "explained by the playbook"),
        ("tactics", fails(429, "x", retry_after="45"), WHOLE, "explained by the playbook"),
        ("tasks", DOWN, None, "The tasks come from the playbook: no model wrote them."),
        ("tasks", said({"tasks": [1]}), None, "The tasks come from the playbook"),
        ("kql", DOWN, WHOLE, "The query is the playbook's"),
        ("kql", said(query("")), WHOLE, "The query is the playbook's"),
    ],
)
async def test_a_part_that_fails_leaves_the_others(
    room: Room, part: str, answer: Says, left: Any, note: str
) -> None:
    model(room, **{part: answer})
    prepared = await enrich(room.desk, room.ref())
    [told] = prepared.notes
    assert note in told
    items = prepared.proposal.items
    by_model = {"tactics": items[:1], "tasks": items[1:-1], "kql": items[-1:]}
    assert {item.by_model for item in by_model.pop(part)} == {False}
    assert {item.by_model for rest in by_model.values() for item in rest} == {True}
    assert items[0].kind == "comment" and items[-1].title == "KQL to run"
    assert left is None or kinds(prepared) == left


async def test_a_model_that_is_down_leaves_the_playbook(room: Room) -> None:
    model(room, tactics=DOWN, tasks=DOWN, kql=DOWN)
    prepared = await enrich(room.desk, room.ref())
    items = prepared.proposal.items
    assert len(prepared.notes) == 3
    assert not any(item.by_model for item in items)
    assert prepared.proposal.provenance.model == ""
    assert "The attacker makes sure to get back in after a reboot" in items[0].text
    assert 3 <= len(items[1:-1]) <= 6
    assert sum(len(item.title) + len(item.text) for item in items[1:-1]) < 2_000
    await post(room.desk, prepared)
    for task in room.case().tasks.values():
        if "Casemate" in task["properties"]["description"]:
            assert "From the playbook, no model." in task["properties"]["description"]


async def test_no_query_at_all(room: Room) -> None:
    bare = replace(room.desk, playbook=replace(room.desk.playbook, queries=()))
    model(room, kql=DOWN)
    prepared = await enrich(bare, room.ref())
    assert kinds(prepared) == WHOLE[:-1]
    assert prepared.proposal.query is None
    assert prepared.notes[0].endswith("There is no query for this incident.")


async def test_a_refused_query_is_left_out_with_its_reason(room: Room) -> None:
    model(room, kql=said(query('workspace("other").SigninLogs | take 1')))
    prepared = await enrich(room.desk, room.ref())
    assert kinds(prepared) == WHOLE[:-1]
    [note] = prepared.notes
    assert note.startswith("The query was left out.") and "another workspace" in note
    assert prepared.proposal.query is None


async def test_a_filtered_prompt_is_tried_once_more_with_less(room: Room) -> None:
    filtered = fails(400, "content_filter", "filtered")
    model(room, tactics=filtered)
    prepared = await enrich(room.desk, room.ref())
    names = [body["response_format"]["json_schema"]["name"] for body in room.model.asked]
    assert names.count("tactics") == 2
    assert "explained by the playbook" in prepared.notes[0]


async def test_an_incident_that_cannot_be_read_is_not_prepared(room: Room) -> None:
    with pytest.raises(IncidentNotFound):
        await enrich(room.desk, room.desk.ref(str(UUID(int=1))))


# --- tactics -------------------------------------------------------------------------------------


async def test_no_tactic_leaves_the_comment_out(room: Room) -> None:
    have_tactics(room)
    model(room)
    prepared = await enrich(room.desk, room.ref())
    assert kinds(prepared) == WHOLE[1:]
    assert prepared.notes == ("The incident names no tactic, so there is none to explain.",)
    assert await post(room.desk, prepared) == ()
    assert room.calls()["PUT comments"] == 0 and room.calls()["PUT tasks"] == 3


@pytest.mark.parametrize("answer", [said(tactics({"Quantum Tunnelling": "New [2]."})), DOWN])
async def test_a_tactic_that_nobody_knows(room: Room, answer: Says) -> None:
    have_tactics(room, "QuantumTunnelling")
    model(room, tactics=answer)
    text = (await enrich(room.desk, room.ref())).proposal.items[0].text
    expected = "the playbook has no text on it." if answer is DOWN else "New [2]."
    assert text == f"**QuantumTunnelling**: {expected}"


async def test_a_tactic_that_the_model_leaves_out_is_the_playbooks(room: Room) -> None:
    model(room, tactics=said(tactics({"TA0001": "Here [2].", "Impact": "Not asked about."})))
    text = (await enrich(room.desk, room.ref())).proposal.items[0].text
    assert "**Initial Access** (TA0001): Here [2]." in text
    assert "**Persistence** (TA0003): The attacker makes sure" in text
    assert text.count("(From the playbook.)") == len(text.split("\n\n")) - 1
    assert "Not asked about" not in text


async def test_hostile_names_of_tactics_are_not_live(room: Room) -> None:
    have_tactics(room, "[x](https://evil.example)<script>")
    model(room, tactics=DOWN)
    await post(room.desk, await enrich(room.desk, room.ref()))
    [comment] = [
        each["properties"]["message"]
        for each in room.case().comments.values()
        if "Casemate" in each["properties"]["message"]
    ]
    assert "https://" not in comment and "<script" not in comment and "<a" not in comment


# --- several choices -----------------------------------------------------------------------------


async def test_every_choice_is_used_where_it_adds_something(room: Room) -> None:
    more = {"call  THE user": "Again.", "Search the mail": "For the link [4]."}
    model(
        room,
        tactics=choices(
            tactics({"InitialAccess": "First [2]."}),
            tactics({"InitialAccess": "Second.", "Persistence": "Also [3]."}),
        ),
        tasks=choices(tasks(TASKS), {"tasks": None}, tasks(more)),
        kql=choices(query('workspace("x").T | take 1'), query()),
    )
    prepared = await enrich(room.desk, room.ref())
    text = prepared.proposal.items[0].text
    assert "First [2]." in text and "Second." not in text and "Also [3]." in text
    assert [item.title for item in prepared.proposal.items[1:-1]] == [*TASKS, "Search the mail"]
    assert prepared.proposal.query is not None and prepared.proposal.query.kql.endswith(KQL)


async def test_tasks_of_all_choices_stay_under_2000_characters(room: Room) -> None:
    lists = [tasks({f"Task {list}.{n}": "x" * 300 for n in range(4)}) for list in range(3)]
    model(room, tasks=choices(*lists))
    items = (await enrich(room.desk, room.ref())).proposal.items[1:-1]
    assert [item.title for item in items] == [f"Task {n // 4}.{n % 4}" for n in range(6)]
    assert sum(len(item.title) + len(item.text) for item in items) < 2_000


async def test_a_choice_that_is_not_what_was_asked_for_is_passed_over(room: Room) -> None:
    model(room, tasks=choices("sorry", tasks(TASKS)))
    assert kinds(await enrich(room.desk, room.ref())) == WHOLE


# --- once ----------------------------------------------------------------------------------------


async def test_a_repeat_prepares_nothing_anew(room: Room) -> None:
    model(room, kql=DOWN)
    first = await enrich(room.desk, room.ref())
    asked = len(room.model.asked)
    assert await enrich(room.desk, room.ref()) == first
    assert first.notes
    assert len(room.model.asked) == asked


async def test_two_at_once_go_on_with_one_and_the_same(room: Room) -> None:
    """Two replicas that know nothing of each other, and a model that never says a thing twice."""
    model(room)
    told = room.model.before
    assert told is not None
    counted = iter(range(100))

    async def before() -> None:
        await told()
        answer = room.model.answers[0].chunks[0].decode()
        room.model.answers = [Says([answer.replace("[2]", f"[{next(counted)}]").encode()])]
        room.model.answers[0].headers["Content-Type"] = "application/json"

    room.model.before = before
    one, other = await asyncio.gather(*(enrich(room.desk, room.ref()) for _ in range(2)))
    assert one == other
    before_it = len(room.case().tasks), len(room.case().comments)
    await asyncio.gather(post(room.desk, one), post(room.desk, other))
    assert (len(room.case().tasks), len(room.case().comments)) == (
        before_it[0] + 3,
        before_it[1] + 1,
    )
    audit = await room.desk.store.audit(room.ref(), 99)
    assert sum(item.action == "write" for item in audit) == 4


async def test_everything_is_written_at_once_and_a_repeat_writes_nothing(room: Room) -> None:
    model(room)
    prepared = await enrich(room.desk, room.ref())
    assert await post(room.desk, prepared) == ()
    calls = room.calls()
    assert (calls["PUT comments"], calls["PUT tasks"]) == (1, 3)
    id = prepared.proposal.id
    line = "Added by Casemate (playbook, no analyst asked), 2026-11-24 09:00 UTC. Model gpt-5.4"
    comment = room.case().comments[write_id(id, "comment", 0)]["properties"]["message"]
    assert comment.startswith("<h4>Tactics of incident 3177</h4><p><strong>Initial Access")
    assert line in comment
    kql = room.case().tasks[write_id(id, "task", 3)]["properties"]
    assert kql["title"] == "KQL to run" and "SigninLogs" in kql["description"]
    assert line in kql["description"]

    await room.clock.advance(3600)
    assert await post(room.desk, await enrich(room.desk, room.ref())) == ()
    assert room.calls()["PUT comments"] == 1 and room.calls()["PUT tasks"] == 3
    writes = await room.desk.store.writes(id)
    assert {(write.by_id, write.by_name) for write in writes} == {("", "Casemate")}


async def test_what_the_store_forgot_and_sentinel_holds_is_not_written_again(room: Room) -> None:
    model(room)
    prepared = await enrich(room.desk, room.ref())
    await post(room.desk, prepared)
    await room.desk.store.sweep(room.clock.now() + timedelta(days=90), timedelta(days=1))
    await post(room.desk, await enrich(room.desk, room.ref()))
    assert room.calls()["PUT comments"] == 1 and room.calls()["PUT tasks"] == 3


async def test_tasks_also_as_one_comment(room: Room) -> None:
    model(room)
    prepared = await enrich(room.desk, room.ref())
    for _ in range(2):
        await post(room.desk, prepared, tasks_as_comment=True)
    assert room.calls()["PUT comments"] == 2
    id = write_id(prepared.proposal.id, "comment", 1)
    message = room.case().comments[id]["properties"]["message"]
    assert message.startswith("<h4>Proposed tasks</h4><p><strong>Call the user</strong></p>")
    assert "Remove the rule" in message and "SigninLogs" not in message


# --- what Sentinel does not take -----------------------------------------------------------------


async def fill(room: Room, *, tasks: int = 0, comments: int = 0) -> None:
    case = room.case()
    for held in (case.tasks, case.comments):
        held.clear()
    for number in range(tasks):
        await room.desk.incidents.add_task(case.name, str(UUID(int=number)), "filler", "")
    for number in range(comments):
        await room.desk.incidents.add_comment(case.name, str(UUID(int=number)), "x")
    room.world.log.clear()


@pytest.mark.parametrize(
    ("full", "comments", "tasks", "says"),
    [
        ({"comments": MAX_COMMENTS}, 0, 3, ["has 100 of at most 100 comments"]),
        ({"tasks": MAX_TASKS}, 1, 0, ["has 40 of at most 40 tasks: 2 more", "tasks: 1 more"]),
        ({"tasks": MAX_TASKS - 1}, 1, 1, ["has 39 of at most 40 tasks: 2 more would not fit"]),
    ],
)
async def test_a_full_incident_is_told_and_the_other_parts_go(
    room: Room, full: dict[str, int], comments: int, tasks: int, says: Sequence[str]
) -> None:
    model(room)
    prepared = await enrich(room.desk, room.ref())
    await fill(room, **full)
    told = await post(room.desk, prepared)
    assert [words in sentence for words, sentence in zip(says, told, strict=True)] == [
        True for _ in says
    ]
    assert (room.calls()["PUT comments"], room.calls()["PUT tasks"]) == (comments, tasks)


async def test_what_sentinel_loses_is_raised_after_the_rest_and_mended_by_a_repeat(
    room: Room,
) -> None:
    model(room)
    prepared = await enrich(room.desk, room.ref())
    room.world.faults.append(Fault("PUT", "/comments/", status=500, count=99))
    with pytest.raises(SentinelDown):
        await post(room.desk, prepared)
    assert room.calls()["PUT tasks"] == 3
    room.world.faults.clear()
    assert await post(room.desk, prepared) == ()
    assert room.calls()["PUT tasks"] == 3
    assert write_id(prepared.proposal.id, "comment", 0) in room.case().comments


# --- clicks --------------------------------------------------------------------------------------


async def click(room: Room, kind: Any, item: Any, **clicked: Any) -> Any:
    prepared = await room.desk.store.proposal(playbook_id(room.ref()))
    assert prepared is not None
    place = room.clicked(**clicked)
    id = prepared.button_id(place.analyst.tenant, place.place.conversation)
    return await Postings().post(room.desk, place, id, kind, item)


async def test_a_click_writes_one_part_in_the_name_of_who_clicked(room: Room) -> None:
    model(room)
    await enrich(room.desk, room.ref())
    posted = await click(room, "comment", 0, conversation="19:another")
    assert [(each.kind, each.index, each.by_name) for each in posted.writes] == [
        ("comment", 0, ANA.name)
    ]
    [comment] = [
        each["properties"]["message"]
        for each in room.case().comments.values()
        if "Casemate" in each["properties"]["message"]
    ]
    assert "Added by Ana Analyst with Casemate, 2026-11-24 09:00 UTC, from the playbook." in comment
    await click(room, "task", 2)
    await click(room, "comment", 1)
    posted = await click(room, "task", "all", by=BEN)
    assert sorted((each.kind, each.index, each.by_name) for each in posted.writes) == [
        ("comment", 0, ANA.name),
        ("comment", 1, ANA.name),
        ("task", 1, BEN.name),
        ("task", 2, ANA.name),
        ("task", 3, BEN.name),
    ]
    assert await post(room.desk, await enrich(room.desk, room.ref())) == ()
    assert (room.calls()["PUT comments"], room.calls()["PUT tasks"]) == (2, 3)


@pytest.mark.parametrize(
    ("kind", "item", "clicked"),
    [
        ("task", 0, {}),
        ("comment", 2, {}),
        ("comment", 3, {}),
        ("task", 4, {}),
        ("task", -1, {}),
        ("task", 1, {"later": LIFETIME + timedelta(seconds=1)}),
    ],
)
async def test_a_click_that_does_not_match_its_item_is_refused(
    room: Room, kind: str, item: int, clicked: dict[str, Any]
) -> None:
    model(room)
    await enrich(room.desk, room.ref())
    with pytest.raises(ClickRefused):
        await click(room, kind, item, **clicked)
    assert room.world.writes == []


async def test_a_kept_playbook_reads_as_it_was(room: Room) -> None:
    model(room)
    prepared = await enrich(room.desk, room.ref())
    query = WrittenQuery("T", by_playbook="x")
    for kept in (prepared.proposal, replace(prepared.proposal, id="p-2", query=query)):
        await room.desk.store.keep_proposal(kept)
        assert await room.desk.store.proposal(kept.id) == kept


# --- the budget ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("per_hour", "minutes", "taken"),
    [
        (2, [0, 1, 2, 59, 60, 61, 62], [True, True, False, False, True, True, False]),
        (1, [0, 59.9, 60], [True, False, True]),
        (0, [0, 100], [False, False]),
    ],
)
def test_a_budget_holds_for_any_hour(
    per_hour: int, minutes: list[float], taken: list[bool]
) -> None:
    budget = Budget(per_hour)
    start = datetime(2026, 11, 24, 9, tzinfo=UTC)
    assert [budget.take(start + timedelta(minutes=each)) for each in minutes] == taken


# --- the word ------------------------------------------------------------------------------------


class Quiet:
    """A courier to nobody."""

    async def working(self, text: str) -> None: ...

    def write(self, text: str) -> None: ...


async def explain(room: Room) -> Any:
    return await explain_tactics(room.desk, room.said("tactics"), room.ref(), Quiet())


async def test_the_word_answers_like_a_question(room: Room) -> None:
    model(room)
    asked = await explain(room)
    assert asked.by_model and asked.note == ""
    assert asked.turn is not None and asked.turn.answer == asked.text
    [item] = asked.proposal.items
    assert (item.title, item.text) == ("Tactics of incident 3177", asked.text)
    assert asked.proposal.tenant == ANA.tenant and asked.proposal.provenance.asked_by == ANA.name
    assert asked.audit.detail["model"] == "gpt-5.4-mini-2026-03-17"


@pytest.mark.parametrize("answer", [DOWN, said("sorry"), said(tactics({}))])
async def test_the_word_falls_back_to_the_playbook(room: Room, answer: Says) -> None:
    model(room, tactics=answer)
    asked = await explain(room)
    assert asked.turn is None and not asked.by_model and asked.proposal is not None
    assert asked.note.endswith("These texts come from the playbook: no model wrote them.")
    assert "The attacker makes sure to get back in" in asked.text


async def test_the_word_where_there_is_no_tactic(room: Room) -> None:
    have_tactics(room)
    asked = await explain(room)
    assert "names no tactic" in asked.text and asked.proposal is None
    assert room.model.asked == []


async def test_the_word_says_when_a_busy_model_is_free(room: Room) -> None:
    model(room, tactics=fails(429, "RateLimitReached", "slow down", retry_after="45"))
    with pytest.raises(ModelBusy):
        await explain(room)
