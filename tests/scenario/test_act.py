"""Taking, rating, staging, closing and reopening an incident, in words and from its card."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bot.domain.act import VERDICTS
from sandbox.world import WORKSPACE, Fault
from tests.scenario.conftest import Chat, Soc, find_button
from tests.teams_double import Sent

BEN = {"name": "Ben Becker", "analyst": "66666666-6666-4666-8666-666666666666"}


def raw(soc: Soc, number: int = 3177) -> dict[str, Any]:
    return soc.case(number).incident["properties"]


def puts(soc: Soc) -> int:
    """The writes that Sentinel took."""
    return sum(entry.status == 200 for entry in soc.world.writes)


async def press(chat: Chat, message: Sent, title: str, **inputs: str) -> dict[str, Any]:
    """Press a button with what was chosen beside it, as a client does."""
    action = find_button(message.card, title)
    assert action is not None, f"there is no button {title!r}"
    return await invoke(chat, message, {**action["data"], **inputs})


async def invoke(chat: Chat, message: Sent, data: dict[str, Any]) -> dict[str, Any]:
    activity = chat.activity(
        type="invoke",
        name="adaptiveCard/action",
        replyToId=message.id,
        value={
            "action": {"type": "Action.Execute", "verb": data.get("verb"), "data": data},
            "trigger": "manual",
        },
    )
    posting = asyncio.create_task(chat.post(activity))
    await chat.soc.until(posting.done)
    status, body = posting.result()
    assert status == 200
    return body


def titles(value: Any) -> set[str]:
    """The titles of a card's buttons."""
    if isinstance(value, list):
        return set().union(*map(titles, value))
    if not isinstance(value, dict):
        return set()
    own = {value["title"]} if str(value.get("type", "")).startswith("Action.") else set()
    return own.union(*map(titles, value.values()))


# --- words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["assign", "/Assign", "assign to me", "assign 3177", "ASSIGN!"])
async def test_assign(soc: Soc, word: str) -> None:
    chat = soc.chat()
    await chat.ask("incident 3177")
    answer = await chat.ask(word)
    assert answer.text.startswith("Incident 3177: Assigned to Ana Analyst, 09:")
    assert raw(soc)["owner"]["assignedTo"] == "Ana Analyst"
    assert raw(soc)["owner"]["objectId"] == chat.analyst
    assert "✓ Assigned to Ana Analyst" in str(answer.card)
    again = await chat.ask(word)
    assert again.text == (
        "Incident 3177: It is already yours, so I changed nothing. "
        "Ana Analyst took it a moment ago."
    )
    assert puts(soc) == 1


@pytest.mark.parametrize(
    ("words", "severity"),
    [
        ("severity low", "Low"),
        ("SEVERITY Medium", "Medium"),
        ("/severity informational.", "Informational"),
        ("severity: Low", "Low"),
        ("severity to low", "Low"),
        ("severity low 3177", "Low"),
        ("severity low on incident 3177", "Low"),
    ],
)
async def test_severity(soc: Soc, words: str, severity: str) -> None:
    chat = soc.chat()
    if "3177" not in words:
        await chat.ask("incident 3177")
    answer = await chat.ask(words)
    assert answer.text.startswith(f"Incident 3177: Severity {severity} set by Ana Analyst, 09:")
    assert answer.text.endswith("It was High.")
    assert raw(soc)["severity"] == severity
    again = await chat.ask(words)
    assert f"The severity is already {severity}, so I changed nothing." in again.text
    assert puts(soc) == 1


@pytest.mark.parametrize("words", ["severity", "severity purple", "severity 11"])
async def test_a_severity_that_is_none(soc: Soc, words: str) -> None:
    chat = soc.chat()
    await chat.ask("incident 3177")
    answer = await chat.ask(words)
    assert answer.text == "Say **severity** and one of High, Medium, Low or Informational."
    assert soc.world.writes == []


@pytest.mark.parametrize(
    "question",
    [
        "severity of incident 3177?",
        "severity high: does that fit?",
        "status report",
        "status of the host",
        "close look at the accounts",
        "assign the accounts to groups",
    ],
)
async def test_what_only_begins_like_a_word_is_a_question(soc: Soc, question: str) -> None:
    chat = soc.chat()
    await chat.ask("incident 3177")
    answer = await chat.ask(question)
    assert answer.now["entities"], "a model answered"
    assert soc.world.writes == []


async def test_status_and_reopen(soc: Soc) -> None:
    chat = soc.chat()
    assert "Status Active set by Ana Analyst" in (await chat.ask("status active 3177")).text
    assert "It was Active." in (await chat.ask("status new")).text
    assert "It is not closed" in (await chat.ask("reopen")).text
    await press(chat, await chat.ask("close"), "Close incident", verdict="Undetermined")
    assert "Incident 3177: Reopened by Ana Analyst, 09:" in (await chat.ask("reopen")).text
    assert raw(soc)["status"] == "Active"
    assert "classification" not in raw(soc)


@pytest.mark.parametrize("word", ["close", "Close!", "/close", "status closed", "close #3177"])
async def test_close_asks_how(soc: Soc, word: str) -> None:
    chat = soc.chat()
    await chat.ask("incident 3177")
    asked = await chat.ask(word)
    assert asked.text == "How do you want to close incident 3177?"
    verdict, comment = (each for each in asked.card["body"] if each["type"].startswith("Input."))
    assert [choice["value"] for choice in verdict["choices"]] == list(VERDICTS)
    assert (comment["type"], comment["maxLength"]) == ("Input.Text", 1_000)
    assert soc.world.writes == []


@pytest.mark.parametrize("word", ["assign", "severity low", "status active", "close", "reopen"])
async def test_without_an_incident_it_is_asked_which(soc: Soc, word: str) -> None:
    answer = await soc.chat().ask(word)
    assert "Which incident" in answer.text
    assert soc.world.writes == []


# --- closing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", VERDICTS)
async def test_every_verdict(soc: Soc, key: str) -> None:
    chat = soc.chat()
    asked = await chat.ask("close #3177")
    said = await press(chat, asked, "Close incident", verdict=key, comment="Seen <b>it</b> all")
    line = f"✓ Closed as {VERDICTS[key].words} by Ana Analyst, 09:0"
    assert line in str(said["value"])
    assert titles(said["value"]) >= {"Reopen"}
    assert not titles(said["value"]) & {"Close", "Close incident", "Assign to me", "Severity"}
    assert raw(soc)["status"] == "Closed"
    given = (raw(soc)["classification"], raw(soc).get("classificationReason"))
    assert "/".join(filter(None, given)) == key
    comment = raw(soc)["classificationComment"]
    assert comment.startswith(
        "Seen < b>it< /b> all\nClosed by Ana Analyst with Casemate, 2026-11-24"
    )

    again = await press(chat, asked, "Close incident", verdict="Undetermined")
    assert f"It is already closed as {VERDICTS[key].words}" in str(again["value"])
    assert "Ana Analyst closed it a moment ago" in str(again["value"])
    typed = await chat.ask("close")
    assert typed.text == f"Incident 3177 is already closed as {VERDICTS[key].words}."
    assert find_button(typed.card, "Reopen")
    assert puts(soc) == 1


async def test_a_closed_incident_is_reopened_from_its_card(soc: Soc) -> None:
    chat = soc.chat()
    answer = await chat.ask("incident 3164")
    assert raw(soc, 3164)["status"] == "Closed"
    said = await press(chat, answer, "Reopen")
    assert "✓ Reopened by Ana Analyst" in str(said["value"])
    assert titles(said["value"]) >= {"Assign to me", "Severity", "Set to New", "Close"}


# --- the card ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("button", "inputs", "done"),
    [
        ("Assign to me", {}, "✓ Assigned to Ana Analyst, 09:0"),
        ("Set severity", {"severity": "Low"}, "✓ Severity Low set by Ana Analyst, 09:0"),
        ("Set to Active", {}, "✓ Status Active set by Ana Analyst, 09:0"),
        (
            "Close incident",
            {"verdict": "TruePositive/SuspiciousActivity"},
            "✓ Closed as True positive (suspicious activity) by Ana Analyst, 09:0",
        ),
    ],
)
async def test_each_button_answers_with_the_card_and_acts_once(
    soc: Soc, button: str, inputs: dict[str, str], done: str
) -> None:
    chat = soc.chat()
    answer = await chat.ask("incident 3177")
    said = await press(chat, answer, button, **inputs)
    assert said["type"] == "application/vnd.microsoft.card.adaptive"
    assert done in str(said["value"])
    again = await press(chat, answer, button, **inputs)
    assert "so I changed nothing" in str(again["value"])
    assert puts(soc) == 1
    assert soc.teams.violations == []


async def test_a_double_click_acts_once(soc: Soc) -> None:
    chat = soc.chat()
    answer = await chat.ask("incident 3177")
    cards = await asyncio.gather(*(press(chat, answer, "Assign to me") for _ in range(4)))
    assert all("Ana Analyst" in str(card["value"]) for card in cards)
    assert puts(soc) == 1


async def test_in_a_group_everybody_sees_the_new_state(soc: Soc) -> None:
    chat = soc.chat("groupChat")
    answer = await chat.ask("incident 3177")
    await press(chat, answer, "Set severity", severity="Low")
    await soc.until(lambda: len(answer.history) == 2)
    assert answer.text.startswith("Incident 3177: Severity Low set by Ana Analyst")
    assert "✓ Severity Low set by Ana Analyst" in str(answer.card)
    assert len(chat.messages) == 1
    assert soc.teams.violations == []


async def test_an_old_client_submits_the_same(soc: Soc) -> None:
    chat = soc.chat("groupChat")
    answer = await chat.ask("incident 3177")
    await chat.press(answer, "Close incident", verdict="Undetermined")
    assert raw(soc)["status"] == "Closed"
    assert "✓ Closed as Undetermined by Ana Analyst" in str(answer.card)


async def test_what_is_done_is_said_even_when_the_rest_cannot_be_read(soc: Soc) -> None:
    chat = soc.chat()
    answer = await chat.ask("incident 3177")
    soc.world.faults.append(Fault("GET", "/tasks", 403))
    said = await press(chat, answer, "Assign to me")
    assert "✓ Assigned to Ana Analyst" in str(said["value"])


@pytest.mark.parametrize(
    ("forged", "told"),
    [
        ({"as": "severity"}, "Choose one of High, Medium, Low, Informational"),
        ({"as": "severity", "severity": "purple"}, "Choose one of"),
        ({"as": "severity", "severity": ["High"]}, "Choose one of"),
        ({"as": "close"}, "Choose a classification"),
        ({"as": "close", "verdict": "TruePositive"}, "Choose a classification"),
        ({"as": "close", "verdict": "TruePositive/InaccurateData"}, "Choose a classification"),
        (
            {"as": "close", "verdict": "Undetermined", "comment": "x" * 1_001},
            "at most 1,000 characters",
        ),
        ({"as": "assign", "workspace": "other"}, "no incident that I work with"),
        ({"as": "assign", "workspace": None}, "no incident that I work with"),
        ({"as": "assign", "incident": 7}, "no incident that I work with"),
        ({"as": "assign", "incident": "../x"}, "not the id of a Sentinel incident"),
        (
            {"as": "assign", "incident": "00000000-0000-4000-8000-000000000000"},
            "There is no such incident",
        ),
        ({"as": "closed"}, "nothing that I can do"),
        ({"as": ["assign"]}, "nothing that I can do"),
        ({}, "nothing that I can do"),
    ],
)
async def test_forged_data_gets_a_sentence_and_writes_nothing(
    soc: Soc, forged: dict[str, Any], told: str
) -> None:
    chat = soc.chat()
    answer = await chat.ask("incident 3177")
    good = {"verb": "act", "workspace": WORKSPACE, "incident": soc.case(3177).name}
    assert find_button(answer.card, "Assign to me")["data"] == good | {"as": "assign"}
    said = await invoke(chat, answer, good | forged)
    assert said["type"] == "application/vnd.microsoft.activity.message"
    assert told in said["value"]
    assert soc.world.writes == []


# --- two analysts --------------------------------------------------------------------------------


async def test_two_at_once_end_with_both_changes(soc: Soc) -> None:
    ana, ben = soc.chat(), soc.chat(**BEN)
    await ana.ask("incident 3177")
    await ben.ask("incident 3177")
    await ana.say("severity low")
    await ben.say("assign")
    await soc.until(lambda: len(ana.messages) == len(ben.messages) == 2)
    assert raw(soc)["severity"] == "Low"
    assert raw(soc)["owner"]["assignedTo"] == "Ben Becker"


async def test_two_who_take_it_at_once_do_not_both_believe_they_have_it(soc: Soc) -> None:
    ana, ben = soc.chat(), soc.chat(**BEN)
    await ana.ask("incident 3177")
    await ben.ask("incident 3177")
    held = asyncio.Event()
    soc.world.faults.append(Fault("PUT", "/incidents/", hold=held))
    await ana.say("assign")
    await soc.until(lambda: soc.world.faults[0].count == 0)
    assert "Assigned to Ben Becker" in (await ben.ask("assign")).text
    held.set()
    await soc.until(lambda: len(ana.messages) == 2)
    assert ana.messages[-1].text == (
        "Incident 3177: Ben Becker took it a moment ago. I changed nothing. "
        "To change it all the same, please try again."
    )
    await soc.clock.advance(60)
    taken = await ana.ask("assign")
    assert "Before that, Ben Becker took it a minute ago." in taken.text
    assert raw(soc)["owner"]["assignedTo"] == "Ana Analyst"


async def test_a_conflict_that_ends_is_not_noticed(soc: Soc) -> None:
    chat = soc.chat()
    answer = await chat.ask("incident 3177")
    soc.world.faults.append(Fault("PUT", "/incidents/", 409, count=2))
    assert "✓ Assigned" in str((await press(chat, answer, "Assign to me"))["value"])
    soc.world.faults.append(Fault("PUT", "/incidents/", 412, count=99))
    said = await press(chat, answer, "Set severity", severity="Low")
    assert "somebody else is changing it at the same time. I changed nothing" in said["value"]
