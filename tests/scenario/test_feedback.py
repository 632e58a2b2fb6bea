"""A thumb on an answer, and what whoever keeps the prompts reads of it."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest

from bot import rated
from bot.auditing import Wanted as Audited
from bot.auditing import report as audit_report
from bot.local.sqlite import SqliteStore
from prompts import load
from tests.clock import FakeClock
from tests.scenario.conftest import Chat, Soc, find_button, running

QUESTION = "did the Müller account do it in incident 3177?"
PROMPT = load()["system"].hash


async def rate(chat: Chat, message: str, reaction: str, comment: str = "", **fields: Any) -> None:
    given = {"reaction": reaction, "feedback": json.dumps({"feedbackText": comment})}
    value = {"actionName": "feedback", "actionValue": given}
    thumb = chat.activity(
        type="invoke", name="message/submitAction", value=value, replyToId=message, **fields
    )
    assert await chat.post(thumb) == (200, {})


async def ratings(folder: Path) -> list[dict[str, Any]]:
    """What `python app.py feedback --json --all` prints."""
    store = SqliteStore(str(folder / "casemate.db"))
    await store.open()
    out, errors = io.StringIO(), io.StringIO()
    wanted = rated.Wanted(as_json=True, everything=True)
    assert await rated.report(store, wanted, out, errors)
    assert await audit_report(store, Audited(verify_only=True), io.StringIO(), errors)
    await store.close()
    assert errors.getvalue() == ""
    return [json.loads(line) for line in out.getvalue().splitlines()]


@pytest.mark.parametrize("kind", ["personal", "groupChat"])
async def test_a_thumb_down_is_listed_with_what_answered(
    soc: Soc, tmp_path: Path, kind: str
) -> None:
    chat = soc.chat(kind)
    await chat.ask("summary 3178")
    answer = await chat.ask(QUESTION)
    await chat.ask("help")  # the turn before it is over by then
    await rate(chat, answer.id, "dislike", "It did not.")
    (found,) = await ratings(tmp_path)
    assert (found["good"], found["comment"], found["analyst"]) == (
        False,
        "It did not.",
        "Ana Analyst",
    )
    assert (found["prompt"], found["model"]) == (PROMPT, "casemate-sandbox")
    assert found["incident_number"] == 3177
    button = find_button(answer.card, "Add as task")
    assert button and found["proposal"] == button["data"]["proposal"]
    assert found["asked"] == "question"
    assert found["question_sha256"] == hashlib.sha256(QUESTION.encode()).hexdigest()
    assert "ller" not in json.dumps(found)


async def test_an_answer_is_still_known_after_a_restart(clock: FakeClock, tmp_path: Path) -> None:
    bot = running(clock, tmp_path)
    async with bot as soc:
        chat = soc.chat()
        answer = await chat.ask(QUESTION)
        await bot.stop()
        await bot.start()
        await rate(chat, answer.id, "dislike")
        (found,) = await ratings(tmp_path)
        assert (found["prompt"], found["incident_number"]) == (PROMPT, 3177)


async def test_what_is_rated_in_another_chat_or_was_never_said_is_unknown(
    soc: Soc, tmp_path: Path
) -> None:
    chat, other = soc.chat(), soc.chat()
    answer = await chat.ask(QUESTION)
    await chat.ask("help")
    await rate(other, answer.id, "dislike")
    await rate(other, "1700000000000", "like")
    for found in await ratings(tmp_path):
        names = ("asked", "question_sha256", "prompt", "model", "proposal")
        assert {found[name] for name in names} == {"unknown"}
        assert (found["incident"], found["incident_number"]) == ("", 0)


async def test_what_no_model_wrote_is_unknown(soc: Soc, tmp_path: Path) -> None:
    chat = soc.chat()
    answer = await chat.ask("help")
    await rate(chat, answer.id, "like")
    assert [found["prompt"] for found in await ratings(tmp_path)] == ["unknown"]


async def test_a_thumb_counts_once_however_often_it_comes(soc: Soc, tmp_path: Path) -> None:
    ana = soc.chat("groupChat")
    ben = soc.chat("groupChat", ana.conversation, name="Ben", analyst="b" * 36)
    answer = await ana.ask(QUESTION)
    for _ in range(2):
        await rate(ana, answer.id, "dislike", "No.", id="one-thumb")
    await rate(ben, answer.id, "dislike", "Never.")
    assert [each["comment"] for each in await ratings(tmp_path)] == ["No.", "Never."]
    await rate(ana, answer.id, "like", "After all.")
    found = await ratings(tmp_path)
    assert [(each["good"], each["comment"]) for each in found] == [
        (False, "Never."),
        (True, "After all."),
    ]
