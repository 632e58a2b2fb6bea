"""A turn from the activity to the last message: stopped, resumed, undelivered, taken over."""

from __future__ import annotations

import asyncio
import dataclasses
import sqlite3
from contextlib import AsyncExitStack, closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from bot.domain.people import Analyst
from bot.errors import IncidentNotFound
from bot.local.sqlite import SqliteStore
from bot.ports import (
    Answered,
    Citation,
    Clicked,
    Clicking,
    Courier,
    Outcome,
    Reply,
    Said,
    Unfurled,
)
from bot.teams.activity import claim_of
from bot.teams.turns import LEASE, MAX_ATTEMPTS, PATIENCE
from tests.clock import FakeClock
from tests.teams.conftest import ANALYST, Edges, activity, edges
from tests.teams_double import Refusal, Teams

CARD = {"type": "AdaptiveCard", "version": "1.5", "body": []}
CANCELED = {
    "error": {"code": "ContentStreamNotAllowed", "message": "Content stream was canceled by user."}
}


def owed(edge: Edges) -> int:
    with closing(sqlite3.connect(edge.database)) as db:
        return db.execute("SELECT count(*) FROM claims WHERE finished IS NULL").fetchone()[0]


async def test_the_dialogs_get_what_was_said_by_whom_and_where(edge: Edges) -> None:
    seen: list[Said] = []

    async def respond(said: Said, courier: Courier) -> Answered:
        seen.append(said)
        return Answered(Reply("ok"))

    edge.respond = respond
    body = edge.activity(text="<at>Casemate</at> what happened?")
    await edge.post(body)
    await edge.until(lambda: edge.messages)
    (said,) = seen
    assert said.id == f"a:chat/{body['id']}"
    assert said.text == "what happened?"
    assert (said.analyst.id, said.analyst.name) == (ANALYST, "Ana Analyst")
    assert (said.place.conversation, said.place.service_url) == ("a:chat", edge.service_url)


async def test_a_stop_ends_the_model_and_the_next_question_is_answered(edge: Edges) -> None:
    ended = asyncio.Event()

    async def respond(said: Said, courier: Courier) -> Answered:
        if said.text == "next":
            return Answered(Reply("here"))
        await courier.working("Reading…")
        try:
            courier.write("Some words ")
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    edge.respond = respond
    edge.teams.refusals.append(Refusal(403, CANCELED, containing='"streaming"'))
    await edge.post(edge.activity(text="long"))
    await edge.until(ended.is_set)
    await edge.until(lambda: owed(edge) == 0)
    assert edge.messages == []
    edge.teams.sent.clear()
    await edge.post(edge.activity(text="next"))
    await edge.until(lambda: [sent.text for sent in edge.messages] == ["here"])


async def test_an_answer_that_was_kept_before_a_crash_is_sent_and_not_worked_out_again(
    stack: AsyncExitStack,
    clock: FakeClock,
    teams: Teams,
    http: ClientSession,
    service_url: str,
    tmp_path: Path,
) -> None:
    reply = Reply("As [1] says.", (CARD,), (Citation(1, "Alert", "what"),), by_model=True)
    store = SqliteStore(str(tmp_path / "crash.db"))
    await store.open()
    claim = claim_of(activity(service_url), clock.now())
    await store.accept(claim)
    await store.take("a:chat", "dead", clock.now(), timedelta(seconds=1))
    kept = Outcome(claim.key, {"reply": dataclasses.asdict(reply)})
    assert await store.commit(kept, "dead")
    await store.close()
    await clock.advance(2)

    edge = await edges(stack, clock, teams, http, service_url, tmp_path / "crash.db")

    async def respond(said: Said, courier: Courier) -> Answered:
        raise AssertionError("it was answered before")

    edge.respond = respond
    await edge.until(lambda: edge.messages)
    (sent,) = edge.messages
    assert (sent.text, sent.card) == (reply.text, CARD)
    assert sent.now["entities"][0]["citation"][0]["appearance"]["name"] == "Alert"
    await edge.until(lambda: owed(edge) == 0)
    assert teams.violations == []


async def test_what_was_tried_too_often_is_answered_with_a_sentence_and_not_tried_again(
    stack: AsyncExitStack,
    clock: FakeClock,
    teams: Teams,
    http: ClientSession,
    service_url: str,
    tmp_path: Path,
) -> None:
    claim = claim_of(activity(service_url, text="deadly"), clock.now())
    store = SqliteStore(str(tmp_path / "edge.db"))
    await store.open()
    await store.accept(claim)
    for number in range(MAX_ATTEMPTS):
        assert await store.take("a:chat", f"victim {number}", clock.now(), LEASE)
        await clock.advance(LEASE.total_seconds() + 1)
    await store.close()
    await clock.advance(PATIENCE.total_seconds())
    edge = await edges(stack, clock, teams, http, service_url, tmp_path / "edge.db")
    await edge.until(lambda: owed(edge) == 0)
    [sent] = edge.messages
    assert sent.text.startswith("I tried this several times")


@pytest.mark.parametrize(("status", "tries"), [(403, 1), (404, 1), (500, 3)])
async def test_an_answer_that_teams_will_never_take_is_let_go_another_is_tried_again(
    edge: Edges, status: int, tries: int
) -> None:
    answers = 0

    async def respond(said: Said, courier: Courier) -> Answered:
        nonlocal answers
        answers += 1
        return Answered(Reply("ok"))

    edge.respond = respond
    edge.teams.refusals.append(Refusal(status, times=2))
    await edge.post(edge.activity())
    await edge.until(lambda: owed(edge) == 0)
    assert len(edge.teams.requests) == tries
    assert len(edge.messages) == (tries > 1)
    assert answers == 1


async def test_who_lost_the_turn_to_another_replica_keeps_still(edge: Edges) -> None:
    other = SqliteStore(str(edge.database))
    await other.open()

    async def respond(said: Said, courier: Courier) -> Answered:
        await other.release("edge")
        far = edge.clock.now() + timedelta(hours=1)
        assert await other.take("a:chat", "other", far, timedelta(hours=1))
        return Answered(Reply("too late"))

    edge.respond = respond
    await edge.post(edge.activity())
    await edge.settled(5)
    assert edge.messages == []
    await other.close()


async def test_a_button_that_opens_something_on_a_client_that_only_submits(edge: Edges) -> None:
    async def click(clicked: Clicked) -> Clicking:
        return Clicking(answered=Answered(Reply("Incident 42.", (CARD,))))

    edge.click = click
    await edge.post(edge.activity(text=None, value={"verb": "incident"}))
    await edge.until(lambda: edge.messages)
    assert edge.messages[0].card == CARD


@pytest.mark.parametrize("reply_to", [None, 7, "unknown"])
async def test_a_card_that_cannot_be_edited_is_no_trouble(edge: Edges, reply_to: Any) -> None:
    async def click(clicked: Clicked) -> Clicking:
        return Clicking(CARD, message=Reply("x", (CARD,)))

    edge.click = click
    edge.teams.refusals.append(Refusal(404, method="PUT"))
    await edge.post(edge.activity(text=None, value={"n": 1}, replyToId=reply_to))
    await edge.until(lambda: edge.messages)
    assert edge.messages[0].text == "Done."


@pytest.mark.parametrize("kind", ["personal", "groupChat"])
async def test_a_failure_after_some_words_replaces_them(edge: Edges, kind: str) -> None:
    async def respond(said: Said, courier: Courier) -> Answered:
        await courier.working("Reading…")
        courier.write("Some words that ")
        await edge.clock.sleep(3)
        raise RuntimeError("a bug")

    edge.respond = respond
    conversation = {"id": "a:chat" if kind == "personal" else "19:group", "conversationType": kind}
    await edge.post(edge.activity(conversation=conversation))
    await edge.until(lambda: edge.messages)
    assert [sent.text[:20] for sent in edge.messages] == ["Something went wrong"]
    assert edge.teams.violations == []


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (TimeoutError(), {"type": "message", "text": "Sentinel did not answer in time"}),
        (IncidentNotFound("There is none."), {"type": "message", "text": "There is none."}),
        (
            RuntimeError("a bug"),
            {"type": "result", "attachmentLayout": "list", "attachments": []},
        ),
    ],
)
async def test_a_pasted_link_never_ends_in_an_error(
    edge: Edges, raised: Exception, said: dict[str, Any]
) -> None:
    async def unfurl(analyst: Analyst, url: str) -> Unfurled:
        assert (analyst.name, url) == ("Ana Analyst", "https://x.example/")
        raise raised

    edge.unfurl = unfurl
    link = {"name": "composeExtension/queryLink", "value": {"url": "https://x.example/"}}
    status, body, _ = await edge.post(edge.activity(type="invoke", **link))
    found = body["composeExtension"]
    assert (status, found["type"]) == (200, said["type"])
    assert found == said or found["text"].startswith(said["text"])
