"""The original playbook over HTTP: the word `tactics`, and clicks on what was prepared."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from bot.cards import Card
from bot.desk.desk import Desk
from bot.desk.enrich import enrich, post
from bot.domain.incident import IncidentRef
from bot.domain.proposal import Proposal
from bot.opening import opened
from tests.cards.samples import playbook_card
from tests.clock import FakeClock
from tests.scenario.conftest import TENANT, Chat, Soc, find_button, running

BEN = {"name": "Ben Becker", "analyst": "66666666-6666-4666-8666-666666666666"}


@dataclass
class Replicas:
    """A bot that is clicked on, and the desk of another one on the same store that prepares."""

    soc: Soc
    desk: Desk

    def ref(self, number: int) -> IncidentRef:
        return self.desk.ref(self.soc.case(number).name)


@pytest.fixture
async def replicas(clock: FakeClock, tmp_path: Path) -> AsyncIterator[Replicas]:
    bot = running(clock, tmp_path)
    async with bot as soc, AsyncExitStack() as parts:
        session = await parts.enter_async_context(ClientSession())
        other = await opened(bot.settings, session, {}, clock, parts)
        yield Replicas(soc, other.desk)


def card_in(chat: Chat, proposal: Proposal) -> Card:
    """The playbook as its card shows it in this chat."""
    return playbook_card(proposal.shown_in(TENANT, chat.conversation))


async def press(chat: Chat, card: Card, title: str) -> tuple[int, Any]:
    """Press a button of a card that stands in this chat."""
    action = find_button(card, title)
    assert action is not None, f"there is no button {title!r}"
    value = {
        "action": {"type": "Action.Execute", "verb": action["verb"], "data": action["data"]},
        "trigger": "manual",
    }
    invoke = chat.activity(
        type="invoke", name="adaptiveCard/action", replyToId="card-1", value=value
    )
    return await chat.post(invoke)


def counts(soc: Soc, number: int) -> tuple[int, int]:
    case = soc.case(number)
    return len(case.comments), len(case.tasks)


# --- the word ------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["tactics 3177", "Tactics #3177", "/tactics incident 3177"])
async def test_tactics_are_explained_for_this_incident(soc: Soc, words: str) -> None:
    answer = await soc.chat().ask(words)
    assert "**Initial Access** (TA0001): Seen in: " in answer.text
    assert "(From the playbook.)" not in answer.text
    assert find_button(answer.card, "Add as comment") is not None
    assert soc.teams.violations == []


async def test_they_are_added_with_a_click_and_kept_in_the_history(soc: Soc) -> None:
    chat = soc.chat()
    await chat.ask("incident 3177")
    answer = await chat.ask("tactics")
    comments, tasks = counts(soc, 3177)
    await chat.click(answer, "Add as comment")
    await chat.click(answer, "Add as task")
    assert counts(soc, 3177) == (comments + 1, tasks + 1)
    task = list(soc.case(3177).tasks.values())[-1]["properties"]
    assert task["title"] == "Tactics of incident 3177"
    assert "Ana Analyst asked: “tactics”" in task["description"]
    assert "What do the tactics of this incident mean here?" in str(
        (await chat.ask("history")).card
    )


async def test_an_incident_without_tactics_says_so(soc: Soc) -> None:
    answer = await soc.chat().ask("tactics 3171")
    assert "names no tactic" in answer.text


async def test_which_incident_is_asked_where_none_is_in_focus(soc: Soc) -> None:
    assert "Which incident" in (await soc.chat().ask("tactics")).text


async def test_a_question_about_tactics_is_still_a_question(soc: Soc) -> None:
    answer = await soc.chat().ask("which tactics does incident 3177 show?")
    assert "Tactics, explained from the playbook" in answer.text


# --- clicks --------------------------------------------------------------------------------------


async def test_parts_are_added_one_by_one_and_all_together(replicas: Replicas) -> None:
    soc = replicas.soc
    prepared = await enrich(replicas.desk, replicas.ref(3177))
    comments, tasks = counts(soc, 3177)
    chat, other = soc.chat("groupChat"), soc.chat("channel", **BEN)

    status, body = await press(chat, card_in(chat, prepared.proposal), "Add as comment")
    assert status == 200
    card = body["value"]
    assert counts(soc, 3177) == (comments + 1, tasks)
    assert "Added as a comment by Ana Analyst" in json.dumps(card)
    assert find_button(card, "Add as comment") is None

    card = (await other.ask("incident 3177")).card
    status, body = await press(other, card, f"Add the other {len(prepared.proposal.items) - 1}")
    assert status == 200 and "by Ben Becker" in json.dumps(body["value"])
    added = len(prepared.proposal.tasks) + 1
    assert counts(soc, 3177) == (comments + 1, tasks + added)
    written = [each["properties"] for each in soc.case(3177).tasks.values()][tasks:]
    assert written[-1]["title"] == "KQL to run"
    assert all("Added by Ben Becker with Casemate" in each["description"] for each in written)

    await press(other, body["value"], "Tasks also as a comment")
    assert counts(soc, 3177) == (comments + 2, tasks + added)
    assert await post(replicas.desk, prepared) == ()
    assert counts(soc, 3177) == (comments + 2, tasks + added)


async def test_clicks_at_once_in_two_places_write_once(replicas: Replicas) -> None:
    soc = replicas.soc
    prepared = (await enrich(replicas.desk, replicas.ref(3178))).proposal
    comments, tasks = counts(soc, 3178)
    chats = [soc.chat("channel"), soc.chat("groupChat", **BEN)] * 3
    cards = [(chat, card_in(chat, prepared)) for chat in chats]
    said = await asyncio.gather(*(press(chat, card, "Add all") for chat, card in cards))
    assert [status for status, _ in said] == [200] * 6
    items = sum(title == "Add task" for title in titles(cards[0][1])) + 1
    assert counts(soc, 3178) == (comments + 1, tasks + items)
    assert len(soc.writes()) == items + 1


async def test_a_click_that_does_not_match_its_item_is_refused(replicas: Replicas) -> None:
    soc = replicas.soc
    prepared = (await enrich(replicas.desk, replicas.ref(3177))).proposal
    chat = soc.chat()
    action = find_button(card_in(chat, prepared), "Add as comment")
    assert action is not None
    for wrong in ({"as": "task"}, {"item": 99}, {"item": "none"}, {"as": "note"}):
        forged = {**action, "data": {**action["data"], **wrong}}
        _, body = await press(chat, {"actions": [forged]}, "Add as comment")
        assert "AdaptiveCard" not in body["type"] or "Added" not in json.dumps(body)
    assert soc.writes() == []


async def test_the_prepared_query_runs(replicas: Replicas) -> None:
    chat = replicas.soc.chat()
    prepared = await enrich(replicas.desk, replicas.ref(3177))
    run = find_button(card_in(chat, prepared.proposal), "Run", "Action.Submit")
    assert run is not None
    rows = await chat.submit(run["data"])
    assert "Incident 3177: the query returned" in rows.text


async def test_kql_alone_asks_for_what_the_prepared_tasks_need(replicas: Replicas) -> None:
    chat = replicas.soc.chat()
    await enrich(replicas.desk, replicas.ref(3177))
    await chat.ask("kql 3177")
    shown = json.dumps((await chat.ask("history")).card)
    assert "carries out these investigation tasks" in shown


def titles(card: Any) -> list[str]:
    if isinstance(card, dict):
        own = [card["title"]] if card.get("type") == "Action.Execute" else []
        return own + [title for value in card.values() for title in titles(value)]
    if isinstance(card, list):
        return [title for each in card for title in titles(each)]
    return []
