"""What the next shift is told: by the model, and by what holds without one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.desk.handover import prepare_handover, share
from bot.desk.record import MAX_DEEDS, MAX_OPEN_TASKS, recorded, standing
from bot.domain.evidence import FIELD_CHARS
from bot.domain.incident import CaseFile, Incident, IncidentRef, Task
from bot.domain.people import Analyst
from bot.domain.proposal import Item, Provenance
from bot.errors import ClickRefused, ModelBusy
from bot.ports import AuditItem
from tests.azure.model_double import fails, says
from tests.clock import FakeClock
from tests.desk.conftest import ANA, BEN, Room


class Quiet:
    """A courier to nobody."""

    async def working(self, text: str) -> None: ...

    def write(self, text: str) -> None: ...


def by(analyst: Analyst, question: str = "what happened?") -> Provenance:
    return Provenance(analyst.name, question, "m", "p", (), analyst.id)


async def shared(room: Room, text: str, **fields: Any) -> None:
    fields = {"provenance": by(BEN), **fields}
    answer = await room.propose(Item("Answer", text), **fields)
    assert await room.desk.store.share(answer, True, room.clock.now())


async def prepared(room: Room) -> Any:
    return await prepare_handover(room.desk, room.said("handover"), room.ref(), Quiet())


def item(action: str, minutes: int = 0, analyst: Analyst = BEN, **detail: Any) -> AuditItem:
    at = FakeClock().now() + timedelta(minutes=minutes)
    ref = IncidentRef("soc", "i")
    return AuditItem(at, analyst.tenant, action, analyst.id, analyst.name, ref, detail)


# --- the model's part ----------------------------------------------------------------------------


async def test_the_model_is_shown_shared_answers_as_evidence(room: Room) -> None:
    room.model.answers = [says("Ben found the rule [3].")]
    await shared(room, "The rule **hides** mail [3][12]. " + "x" * 2_000, id="p-9")
    asked = await prepared(room)
    sent = str(room.model.asked[-1]["messages"])
    assert '"kind":"shared","by":"Ben Becker","question":"what happened?"' in sent
    assert "The rule hides mail. xxx" in sent and "x" * (FIELD_CHARS + 1) not in sent
    assert "shared/p-9" in asked.proposal.provenance.evidence
    assert asked.turn.question == "Prepare the handover."
    assert asked.turn.answer == "Ben found the rule [3]."
    assert asked.proposal.items[0].title == "Handover of incident 3177"
    assert asked.proposal.items[0].text == asked.text


async def test_a_citation_of_an_earlier_answer_is_none_of_this_one(room: Room) -> None:
    room.model.answers = [says("All is said [1].")]
    await shared(room, "The rule hides mail [2].", provenance=by(BEN, "why [3]?"))
    asked = await prepared(room)
    assert "The rule hides mail." in asked.text
    assert [each.number for each in asked.briefing.evidence.cited(asked.text)] == [1]


async def test_another_tenants_answers_stay_there(room: Room) -> None:
    room.model.answers = [says("ok")]
    await shared(room, "secret", tenant="fabrikam")
    asked = await prepared(room)
    assert "secret" not in str(room.model.asked) and "Shared answers" not in asked.text


async def test_twenty_long_answers_have_room_the_newest_first(room: Room) -> None:
    room.model.answers = [says("ok")]
    for n in range(20):
        await shared(room, f"answer-{n:02} " + "long word " * 400, id=f"p-{n}")
    asked = await prepared(room)
    sent = str(room.model.asked[-1]["messages"])
    assert 0 < sent.index("answer-19") < sent.index("answer-00")
    assert all(f"answer-{n:02}" in asked.text for n in range(20))


# --- what holds without a model ------------------------------------------------------------------


async def test_without_a_model_the_playbook_stands_above_what_is_known(room: Room) -> None:
    room.model.answers = [fails(500)]
    await shared(room, "The rule hides mail.")
    asked = await prepared(room)
    assert not asked.by_model and asked.turn is None
    for part in ("**Where it stands**", "New, severity High", "The rule hides mail."):
        assert part in asked.text
    assert asked.proposal.items[0].text == asked.text


async def test_an_answer_that_breaks_off_is_not_offered(room: Room) -> None:
    room.model.answers = [replace(says("half"), chunks=says("half").chunks[:1], drop=True)]
    asked = await prepared(room)
    assert asked.proposal is None
    assert asked.text.startswith("half") and "**Where it stands**" in asked.text


async def test_a_busy_model_says_when_to_come_back(room: Room) -> None:
    room.model.answers = [fails(429, retry_after="45")]
    with pytest.raises(ModelBusy):
        await prepared(room)


# --- the record ----------------------------------------------------------------------------------


async def told(room: Room, *items: AuditItem) -> list[str]:
    for each in items:
        await room.desk.store.record(each)
    return list(await recorded(room.desk, ANA.tenant, IncidentRef("soc", "i")))


@pytest.mark.parametrize(
    ("items", "lines"),
    [
        ([], []),
        ([item("question", question="secret?")], ["Asked: Ben Becker 1 question."]),
        (
            [item("kql"), item("tasks"), item("question", analyst=ANA)],
            ["Asked: Ben Becker 2 questions, Ana Analyst 1 question."],
        ),
        (
            [item("write", kind="task"), item("write", 1, kind="task"), item("write", 2, ANA)],
            [
                "2026-11-24 09:01 UTC: Ben Becker added a task, 2 times.",
                "2026-11-24 09:02 UTC: Ana Analyst added a task.",
            ],
        ),
        (
            [item("write", kind="comment"), item("run", 1, query="secret"), item("closed", 2)],
            [
                "2026-11-24 09:00 UTC: Ben Becker added a comment.",
                "2026-11-24 09:01 UTC: Ben Becker ran a query.",
                "2026-11-24 09:02 UTC: Ben Becker closed.",
            ],
        ),
        ([item("feedback"), item("share")], []),
        ([item("question", analyst=Analyst("fabrikam", "u-x", "Eve"))], []),
        (
            [item("write", analyst=Analyst("contoso", "", ""))],
            ["2026-11-24 09:00 UTC: Casemate added a task."],
        ),
    ],
)
async def test_the_record(room: Room, items: list[AuditItem], lines: list[str]) -> None:
    assert await told(room, *items) == lines


async def test_a_long_record_is_its_newest_lines(room: Room) -> None:
    deeds = [item("run" if n % 2 else "write", n) for n in range(MAX_DEEDS + 3)]
    lines = await told(room, *deeds)
    assert lines[0] == "And 3 earlier." and len(lines) == MAX_DEEDS + 1
    assert lines[-1].startswith("2026-11-24 09:10 UTC")


@pytest.mark.parametrize(
    ("tasks", "changes", "lines"),
    [
        (
            (),
            {"owner": "", "status": "New"},
            ["New, severity High, owner nobody yet, 0 of 0 tasks open."],
        ),
        (
            (Task("1", "Call", status="Completed"), Task("2", "Block https://evil.example/a")),
            {"status": "Closed", "classification": "TruePositive"},
            [
                "Closed as TruePositive, severity High, owner Dana, 1 of 2 tasks open.",
                "Open: Block hxxps://evil[.]example/a.",
            ],
        ),
        (
            tuple(Task(f"{n}", f"T{n}") for n in range(MAX_OPEN_TASKS + 2)),
            {},
            [
                "Active, severity High, owner Dana, 8 of 8 tasks open.",
                "Open: T0; T1; T2; T3; T4; T5; and 2 more.",
            ],
        ),
    ],
)
def test_how_an_incident_stands(
    tasks: tuple[Task, ...], changes: dict[str, str], lines: list[str]
) -> None:
    ref = IncidentRef("soc", "i")
    incident = Incident(ref, 1, "t", "High", "Active", owner="Dana")
    assert list(standing(CaseFile(replace(incident, **changes), tasks=tasks))) == lines


# --- who may share -------------------------------------------------------------------------------


async def test_a_share_is_recorded_once(room: Room) -> None:
    await room.propose(Item("Answer", "text"), provenance=by(ANA))
    for wanted in (True, True, False, False):
        await share(room.desk, room.clicked(), "p-1", wanted)
    items = await room.desk.store.audit(room.ref(), 9)
    assert [each.detail["shared"] for each in items] == [True, False]
    assert {each.analyst_name for each in items} == {ANA.name}


@pytest.mark.parametrize(
    ("provenance", "clicked", "says"),
    [
        (by(BEN), {}, "Only Ben Becker, who asked"),
        (replace(by(ANA), asked_by_id=""), {}, "Only Ana Analyst"),
        (by(ANA), {"by": Analyst("fabrikam", ANA.id, ANA.name)}, "too old, or not mine"),
        (by(ANA), {"later": timedelta(days=8)}, "too old, or not mine"),
        (by(ANA), {"conversation": "19:elsewhere"}, "."),
    ],
)
async def test_nobody_else_shares(
    room: Room, provenance: Provenance, clicked: dict[str, Any], says: str
) -> None:
    await room.propose(Item("Answer", "text"), provenance=provenance)
    with pytest.raises(ClickRefused) as caught:
        await share(room.desk, room.clicked(**clicked), "p-1", True)
    assert says in caught.value.sentence
    assert await room.desk.store.shared(room.ref()) == ()
