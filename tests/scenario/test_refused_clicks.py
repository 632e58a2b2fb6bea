"""Clicks that may not: each is refused with its sentence, writes nothing, and is in the audit."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from bot.desk.refusals import MOST_EACH
from tests.clock import FakeClock
from tests.scenario.conftest import TENANT, Chat, Soc, find_button, running
from tests.scenario.test_announce import arrives, hook, subscribed
from tests.teams_double import Sent

BEN = {"name": "Ben Becker", "analyst": "66666666-6666-4666-8666-666666666666"}
ELSEWHERE = "This button belongs to another conversation."
GONE = "This card is too old, or not mine. Please ask again."
UNREADABLE = "This button says nothing that I can do."


async def invoke(chat: Chat, data: dict[str, Any], **fields: Any) -> dict[str, Any]:
    action = {"type": "Action.Execute", "verb": data.get("verb"), "data": data}
    value = {"action": action, "trigger": "manual"}
    invoke = chat.activity(type="invoke", name="adaptiveCard/action", value=value, **fields)
    status, body = await chat.post(invoke)
    assert status == 200
    return body


def data_of(message: Sent, title: str) -> dict[str, Any]:
    button = find_button(message.card, title) or find_button(message.card, title, "Action.Submit")
    assert button is not None, f"there is no button {title!r}"
    return button["data"]


def audit(folder: Path, action: str = "refused click") -> list[dict[str, Any]]:
    with closing(sqlite3.connect(folder / "casemate.db")) as db:
        rows = db.execute("SELECT item FROM audit ORDER BY seq").fetchall()
    items = [orjson.loads(item) for (item,) in rows]
    return [item for item in items if item["action"] == action]


async def query_in(chat: Chat) -> Sent:
    await chat.ask("incident 3177")
    return await chat.ask("kql which accounts signed in?")


def another_tenant(chat: Chat) -> dict[str, Any]:
    tenant = "99999999-9999-4999-8999-999999999999"
    conversation = {**chat.activity()["conversation"], "tenantId": tenant}
    return {"conversation": conversation, "channelData": {"tenant": {"id": tenant}}}


# --- what was proposed in a chat -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "sentence", "reason"),
    [
        ({"proposal": "AAAAAAAAAAAAAAAAAAAAAA"}, GONE, "unknown"),
        ({"proposal": ""}, GONE, "unknown"),
        ({"proposal": "' OR 1=1 --"}, GONE, "unknown"),
        ({"proposal": None}, UNREADABLE, "altered"),
        ({"proposal": ["x"]}, UNREADABLE, "altered"),
        ({"proposal": "x" * 201}, UNREADABLE, "altered"),
        ({"as": "incident"}, UNREADABLE, "altered"),
        ({"as": ["task"]}, UNREADABLE, "altered"),
        ({"item": True}, UNREADABLE, "altered"),
        ({"item": "every"}, UNREADABLE, "altered"),
        ({"item": -1}, GONE, "altered"),
        ({"item": 9_999}, GONE, "altered"),
        ({"verb": "delete"}, "This button is not one of mine.", "altered"),
        ({"verb": ["add"]}, "This button is not one of mine.", "altered"),
    ],
)
async def test_a_forged_or_altered_click(
    soc: Soc, tmp_path: Path, change: dict[str, Any], sentence: str, reason: str
) -> None:
    chat = soc.chat()
    card = await chat.ask("summary 3177")
    body = await invoke(chat, {**data_of(card, "Add as task"), **change})
    assert (body["type"], body["value"]) == ("application/vnd.microsoft.activity.message", sentence)
    assert soc.writes() == []
    [item] = audit(tmp_path)
    assert item["detail"]["reason"] == reason
    assert (item["analyst_name"], item["tenant"]) == ("Ana Analyst", TENANT)


async def test_a_click_from_another_conversation(soc: Soc, tmp_path: Path) -> None:
    card = await soc.chat("groupChat").ask("summary 3177")
    for thief in (soc.chat("groupChat", **BEN), soc.chat(**BEN), soc.chat("channel")):
        body = await invoke(thief, data_of(card, "Add as task"))
        assert body["value"] == ELSEWHERE
    assert soc.writes() == []
    items = audit(tmp_path)
    assert [item["detail"]["reason"] for item in items] == ["another conversation"] * 3
    assert {item["incident_number"] for item in items} == {3177}, "it is on the incident's record"


async def test_a_click_by_another_analyst_in_a_personal_chat(soc: Soc, tmp_path: Path) -> None:
    chat = soc.chat()
    card = await chat.ask("summary 3177")
    body = await invoke(
        soc.chat(conversation=chat.conversation, **BEN), data_of(card, "Add as task")
    )
    assert body["value"] == "This button is for the analyst who asked."
    assert soc.writes() == []
    [item] = audit(tmp_path)
    assert item["detail"]["reason"] == "another analyst"


async def test_a_click_by_another_analyst_in_a_group_is_as_good(soc: Soc, tmp_path: Path) -> None:
    chat = soc.chat("groupChat")
    card = await chat.ask("summary 3177")
    body = await invoke(
        soc.chat("groupChat", conversation=chat.conversation, **BEN), data_of(card, "Add as task")
    )
    assert "by Ben Becker" in str(body["value"])
    assert audit(tmp_path) == []


async def test_a_click_from_another_tenant_is_not_even_told_that_there_is_something(
    soc: Soc, tmp_path: Path
) -> None:
    chat = soc.chat("groupChat")
    card = await chat.ask("summary 3177")
    body = await invoke(chat, data_of(card, "Add as task"), **another_tenant(chat))
    assert body["value"] == GONE
    assert soc.writes() == []
    [item] = audit(tmp_path)
    assert item["detail"]["reason"] == "another tenant"


async def test_a_stale_click(soc: Soc, clock: FakeClock, tmp_path: Path) -> None:
    chat = soc.chat()
    card = await chat.ask("summary 3177")
    await clock.advance(7 * 24 * 3600 + 60)
    assert (await invoke(chat, data_of(card, "Add as task")))["value"] == GONE
    assert soc.writes() == []
    [item] = audit(tmp_path)
    assert item["detail"]["reason"] == "expired"


async def test_a_replayed_click_writes_nothing_and_is_on_the_record(
    soc: Soc, tmp_path: Path
) -> None:
    chat = soc.chat()
    card = await chat.ask("summary 3177")
    first = await invoke(chat, data_of(card, "Add as task"))
    again = await invoke(chat, data_of(card, "Add as task"))
    assert first["value"] == again["value"], "the card as it is now"
    assert len(soc.writes()) == 1
    [item] = audit(tmp_path)
    assert (item["detail"]["reason"], item["incident_number"]) == ("repeated", 3177)
    assert len(audit(tmp_path, "write")) == 1


@pytest.mark.parametrize("title", ["Run", "Refine"])
async def test_a_click_that_is_answered_later_is_refused_as_well(
    soc: Soc, tmp_path: Path, title: str
) -> None:
    card = await query_in(soc.chat())
    answer = await soc.chat(**BEN).submit({**data_of(card, title), "how": "shorter"})
    assert answer.text == ELSEWHERE
    [item] = audit(tmp_path)
    assert item["detail"]["verb"] == title.lower()


async def test_what_was_only_left_empty_is_nothing_to_record(soc: Soc, tmp_path: Path) -> None:
    chat = soc.chat()
    card = await query_in(chat)
    answer = await chat.submit({**data_of(card, "Refine"), "how": " "})
    assert answer.text == "Say what should be different, then press Refine."
    assert audit(tmp_path) == []


async def test_an_attack_does_not_fill_the_store(
    soc: Soc, clock: FakeClock, tmp_path: Path
) -> None:
    chat, ben = soc.chat(), soc.chat(**BEN)
    for n in range(MOST_EACH + 25):
        await invoke(chat, {"verb": "add", "as": "task", "item": 0, "proposal": f"guess-{n}"})
    assert len(audit(tmp_path)) == MOST_EACH
    await invoke(ben, {"verb": "add", "as": "task", "item": 0, "proposal": "old"})
    assert len(audit(tmp_path)) == MOST_EACH + 1, "one attacker does not hide another"
    await clock.advance(61)
    await invoke(chat, {"verb": "add", "as": "task", "item": 0, "proposal": "guess"})
    told = [item["detail"]["unrecorded"] for item in audit(tmp_path)]
    assert told == [0] * MOST_EACH + [25, 0]


# --- what was prepared for an incident -----------------------------------------------------------


@pytest.fixture
async def prepared(clock: FakeClock, tmp_path: Path) -> Any:
    """A bot that prepares what is announced, and a group that it announced incident 4009 to."""
    async with running(clock, tmp_path, ENRICH="suggest", POLL_SECONDS="0") as soc:
        group = await subscribed(soc)
        await hook(soc, arrives(soc, 4009))
        await soc.until(lambda: "Add all" in str(group.messages[-1].card))
        yield group


def unsealed(id: str) -> str:
    return id.rpartition(".")[0]


def with_another_seal(id: str) -> str:
    return id[:-1] + ("0" if id[-1] != "0" else "1")


@pytest.mark.parametrize("forge", [unsealed, with_another_seal, lambda id: unsealed(id) + "."])
async def test_what_was_prepared_cannot_be_guessed(
    prepared: Chat, tmp_path: Path, forge: Callable[[str], str]
) -> None:
    soc, data = prepared.soc, data_of(prepared.messages[-1], "Add all")
    assert soc.case(4009).name in data["proposal"], "who knows the incident knows this much"
    for chat in (prepared, soc.chat(**BEN)):
        body = await invoke(chat, {**data, "proposal": forge(data["proposal"])})
        assert body["value"] in (ELSEWHERE, GONE)
    assert soc.writes() == []
    assert len(audit(tmp_path)) == 2


async def test_it_is_clicked_only_where_it_is_shown(prepared: Chat, tmp_path: Path) -> None:
    soc, data = prepared.soc, data_of(prepared.messages[-1], "Add all")
    elsewhere = soc.chat("groupChat", **BEN)
    assert (await invoke(elsewhere, data))["value"] == ELSEWHERE
    foreign = await invoke(prepared, data, **another_tenant(prepared))
    assert foreign["value"] == ELSEWHERE
    assert soc.writes() == []
    assert [item["detail"]["reason"] for item in audit(tmp_path)] == [
        "another conversation, or forged"
    ] * 2

    shown = await elsewhere.ask("incident 4009")
    own = data_of(shown, "Add all")
    assert own["proposal"] != data["proposal"]
    assert "by Ben Becker" in str((await invoke(elsewhere, own))["value"])
    before = len(soc.writes())
    body = await invoke(prepared, data)
    assert "by Ben Becker" in str(body["value"]), "the first card still stands in its chat"
    assert len(soc.writes()) == before
