"""What the audit says of questions: never their text, and how they ended, well or not."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from bot.desk.ask import ask
from bot.desk.kql import write_query
from bot.desk.tactics import explain_tactics
from bot.desk.tasks import propose_tasks
from bot.errors import CasemateError, ModelBusy, Stopped
from bot.ports import AuditItem
from dialogs import responder
from sandbox.world import Fault
from tests.azure.model_double import delta, fails, says, sse, usage, whole
from tests.desk.conftest import ANA, CHAT, Room

SECRET = "is the Müller account breached?"


class Quiet:
    """A courier to nobody."""

    async def working(self, text: str) -> None: ...

    def write(self, text: str) -> None: ...


class Stopping(Quiet):
    """A courier whose reader presses Stop at the first word."""

    def write(self, text: str) -> None:
        raise Stopped("The analyst pressed Stop.")


async def recorded(room: Room) -> AuditItem:
    [item] = await room.desk.store.audit(room.ref(), 9)
    return item


async def test_a_question_leaves_its_hash_and_what_answered_it(room: Room) -> None:
    room.model.answers = [sse(delta("Two accounts [1]."), delta(finish="stop"), usage(200, 30, 64))]
    await room.desk.store.record(
        (await ask(room.desk, room.said(SECRET), room.ref(), SECRET, Quiet())).audit
    )
    item = await recorded(room)
    assert (item.action, item.analyst_id, item.tenant) == ("question", ANA.id, ANA.tenant)
    assert (item.incident, item.incident_number) == (room.ref(), 3177)
    evidence = item.detail.pop("evidence")
    assert evidence and all("/" in each for each in evidence)
    assert item.detail == {
        "question_sha256": sha256(SECRET.encode()).hexdigest(),
        "outcome": "answered",
        "prompt": room.desk.prompts["system"].hash,
        "model": "gpt-5.4-mini-2026-03-17",
        "prompt_tokens": 200,
        "completion_tokens": 30,
        "cached_tokens": 64,
        "shields": [],
        "reasoning_tokens": 0,
    }


async def test_a_query_is_kept_as_a_hash_until_somebody_runs_it(room: Room) -> None:
    answer = {"query": "SecurityAlert | where A == 'müller'", "explanation": "", "assumptions": []}
    room.model.answers = [whole(json.dumps(answer))]
    written = await write_query(room.desk, room.said(SECRET), room.ref(), SECRET, Quiet())
    assert "müller" in written.query.kql and "müller" not in str(written.audit)
    kql = written.query.kql
    assert written.audit.detail["query_sha256"] == sha256(kql.encode()).hexdigest()


FINE = {"query": "SecurityAlert | take 5", "explanation": "", "assumptions": []}
BAD = FINE | {"query": ".drop table SecurityAlert"}
TASKS = {"tasks": [{"title": "Look", "description": "There."}]}


@pytest.mark.parametrize(
    ("words", "answers", "took"),
    [
        ("what happened?", [says("That.")], ""),
        ("summary", [says("That.")], "summary"),
        ("handover", [says("That.")], "handover"),
        ("tasks", [whole(json.dumps(TASKS))], "tasks"),
        ("kql who signed in?", [whole(json.dumps(FINE))], "kql"),
        ("kql who?", [whole(json.dumps(BAD)), whole(json.dumps(FINE))], "kql kql_repair"),
        ("what happened?", [fails(404)], "playbook_answer"),
    ],
)
async def test_an_answer_names_all_prompts_that_made_it(
    room: Room, words: str, answers: list[Any], took: str
) -> None:
    room.model.answers = answers
    said = room.said(words)
    said = replace(said, place=replace(said.place, kind="personal"))
    await room.desk.store.set_focus(ANA.tenant, CHAT.conversation, ANA.id, room.ref(), said.at)
    answered = await responder(room.desk)(said, Quiet())
    texts = room.desk.prompts.by_name
    made = "+".join(texts[name].hash for name in ["system", *took.split()])
    [item] = answered.audit
    assert item.detail["prompt"] == made
    assert answered.proposal and answered.proposal.provenance.prompt == made
    assert not answered.turn or answered.turn.prompt == made


@pytest.mark.parametrize(
    ("use_case", "action"),
    [
        (ask, "question"),
        (write_query, "kql"),
        (propose_tasks, "tasks"),
        (explain_tactics, "tactics"),
    ],
)
@pytest.mark.parametrize("trouble", ["model", "sentinel"])
async def test_a_question_without_an_answer_is_recorded_too(
    room: Room, use_case, action: str, trouble: str
) -> None:
    room.model.answers = [fails(429)] * 9
    if trouble == "sentinel":
        room.world.faults.append(Fault("GET", "/incidents/", status=403, count=99))
    said = room.said(SECRET)
    question = [SECRET] if use_case in (ask, write_query) else []
    with pytest.raises(CasemateError) as raised:
        await use_case(room.desk, said, room.ref(), *question, Quiet())
    assert isinstance(raised.value, ModelBusy) == (trouble == "model")
    item = await recorded(room)
    assert (item.action, item.detail["outcome"]) == (action, type(raised.value).__name__)
    assert (item.analyst_name, item.detail["prompt_tokens"]) == (ANA.name, 0)
    assert SECRET not in str(item)


async def test_a_stop_is_recorded(room: Room) -> None:
    room.model.answers = [sse(delta("Two"), hold=True, done=False)]
    with pytest.raises(Stopped):
        await ask(room.desk, room.said(SECRET), room.ref(), SECRET, Stopping())
    assert (await recorded(room)).detail["outcome"] == "Stopped"


async def test_a_question_that_is_cut_short_is_recorded(room: Room) -> None:
    room.model.answers = [sse(delta("Two"), hold=True, done=False)]
    asked = asyncio.Event()

    async def before() -> None:
        asked.set()

    room.model.before = before
    asking = asyncio.create_task(ask(room.desk, room.said("x"), room.ref(), "x", Quiet()))
    await asked.wait()
    asking.cancel()
    with suppress(asyncio.CancelledError):
        await asking
    assert asking.cancelled()
    assert (await recorded(room)).detail["outcome"] == "stopped"


async def test_a_store_that_fails_does_not_hide_why_there_is_no_answer(room: Room) -> None:
    room.model.answers = [fails(429)] * 9

    class Closing(Quiet):
        async def working(self, text: str) -> None:
            await room.desk.store.close()
            raise Stopped("The analyst pressed Stop.")

    with pytest.raises(Stopped):
        await ask(room.desk, room.said("x"), room.ref(), "x", Closing())
    await room.desk.store.open()
