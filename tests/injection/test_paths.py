"""Every way out, with every text tainted: nothing raw comes through, whatever is said and pressed.

Each string of an incident, its alerts, entities, comments and tasks, of the model's answers, the
logs' rows and errors, the analyst's name and inputs carries its own hostile text.
"""

from __future__ import annotations

import ast
import itertools
import json
import logging
import re
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

import dialogs
from sandbox.cases import SUBSCRIPTION, from_yaml
from tests.azure.log_analytics_double import METADATA, refusal, table
from tests.azure.model_double import ModelDouble, fails, says, whole
from tests.injection.harmless import HIDDEN, TRACE, wrong_in_field
from tests.injection.room import KQL, Mark, Room, opened
from tests.scenario.conftest import Chat
from tests.teams_double import Sent
from tests.test_house import modules, name_of

_numbers = itertools.count(1)
# What is no text: names that Azure gives, times, and what tells kinds apart.
_KEPT = {"id", "name", "type", "etag", "kind", "systemAlertId", "objectId", "ownerType", "status"}


def taint() -> str:
    """A text that is a mention, a link, an expression, a tag, two lines and not what it seems."""
    n = next(_numbers)
    return f"t{n}x<at>a</at>[l](https://e.example)${{q}}<b>\u202e\u200b\nERROR forged"


def tainted(value: Any, name: str = "") -> Any:
    """The same JSON with every text replaced."""
    if isinstance(value, dict):
        return {key: tainted(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [tainted(each, name) for each in value]
    if not isinstance(value, str) or name in _KEPT or _is_time(value) or value.startswith("/"):
        return value
    return json.dumps({taint(): [taint()]}) if value.startswith(("{", "[")) else taint()


def _is_time(value: str) -> bool:
    try:
        return bool(datetime.fromisoformat(value))
    except ValueError:
        return False


class HostileModel(ModelDouble):
    """Answers each kind of question in its own shape, with hostile text in every string."""

    failing = False

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        schema = (await request.json()).get("response_format", {}).get("json_schema", {})
        if self.failing:
            self.answers = [fails(400, "content_filter", taint())]
        elif schema.get("name") == "kql":
            remark = HIDDEN.sub("", taint()).split("\n")[0]  # the guard refuses hidden characters
            kql = f"{KQL} | where UserPrincipalName in~ (accounts) // {remark}"
            query = {"query": kql, "explanation": taint()}
            self.answers = [whole(json.dumps({**query, "assumptions": [taint()]}))]
        elif schema:
            entry = {"title": taint(), "name": taint(), "description": taint()}
            self.answers = [whole(json.dumps({schema["name"]: [entry, entry]}))]
        else:
            self.answers = [says(taint(), " [1][2][3]")]
        return await super()._answer(request)


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    async with opened(tmp_path, HostileModel(says("unused")), ENRICH="suggest") as room:
        for number in (3177, 3178):
            case = room.soc.case(number)
            case.incident = {**case.incident, "properties": tainted(case.incident["properties"])}
            for held in (case.alerts, case.entities):
                held[:] = tainted(held)
            for things in (case.comments, case.tasks):
                things.update({key: tainted(each) for key, each in things.items()})
        yield room


# --- driving -------------------------------------------------------------------------------------

INPUTS = {"severity": "High", "verdict": "Undetermined", "how": "", "comment": ""}


class Hand:
    """Says every word and presses every button once, wherever one turns up."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.pressed: set[tuple[str, str]] = set()

    async def say(self, chat: Chat, text: str) -> Sent:
        await self.room.soc.clock.advance(4)
        answer = await chat.ask(text)
        await self.press_all(chat, answer, answer.card)
        return answer

    async def press_all(self, chat: Chat, message: Sent, card: Any) -> None:
        for action in buttons(card):
            data = action["data"]
            key = (str(data["verb"]), re.sub(r"\d+", "", action["title"]) + str(data.get("as")))
            if key in self.pressed:
                continue
            self.pressed.add(key)
            inputs = {name: value or taint() for name, value in INPUTS.items()}
            if action["type"] == "Action.Submit":
                await self.room.soc.clock.advance(4)  # nobody presses faster than Teams takes
                answer = await chat.submit({**data, **inputs}, replyToId=message.id)
                await self.press_all(chat, answer, answer.card)
            else:
                value = {"action": {"type": action["type"], "data": {**data, **inputs}}}
                await self.invoke(chat, "adaptiveCard/action", value, replyToId=message.id)

    async def invoke(self, chat: Chat, name: str, value: Any, **more: Any) -> None:
        activity = chat.activity(type="invoke", name=name, value=value, **more)
        status, body = await chat.post(activity)
        self.room.responses.append(body)
        assert status in (200, 400, 501)
        await self.room.soc.clock.advance(4)


def buttons(card: Any) -> Iterator[dict[str, Any]]:
    if isinstance(card, dict):
        if card.get("type") in ("Action.Execute", "Action.Submit"):
            yield card
        else:
            for each in card.values():
                yield from buttons(each)
    elif isinstance(card, list):
        for each in card:
            yield from buttons(each)


async def test_nothing_raw_comes_out(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    room.row = taint()
    mark, hand = room.since(), Hand(room)
    chat = room.soc.chat("groupChat", name=taint())
    await chat.say("incident 3177")
    for route in dialogs.ROUTES:
        if route.word != "forget me":
            await hand.say(chat, f"{route.word} {argument(route.word)}".strip())
    await hand.say(chat, taint())
    await hand.say(room.soc.chat(name=taint()), "What happened in incident 3178?")
    await announced(room)
    await failures(room, hand, chat)
    await others(room, hand, chat)
    await hand.say(chat, "forget me")

    held(room, mark)
    assert {verb for verb, _ in hand.pressed} == verbs(), "a verb is missing on the cards, or here"
    for record in caplog.records:
        if record.name.startswith("bot"):
            line = record.getMessage()
            assert not HIDDEN.search(line) and "\n" not in line and record.exc_info is None, line


def argument(word: str) -> str:
    return {"incident": "3177", "kql": taint(), "severity": "Low", "subscribe": "low"}.get(word, "")


async def announced(room: Room) -> None:
    """New incidents from the webhook: a card, then a storm's digest."""
    place = room.soc.chat("groupChat", name=taint())
    await place.ask("subscribe")
    for number in range(6001, 6014):
        data = {"title": "x", "severity": "High", "status": "New", "created": "-1m", "owner": None}
        case = from_yaml(
            {**data, "number": number, "alerts": []}, room.soc.clock.now(), lambda: "e"
        )
        case.incident["properties"]["title"] = taint()
        room.soc.world.cases[case.name] = case
        body = {"object": {"id": case.incident["id"], "properties": {"title": taint()}}}
        async with room.soc.http.post(f"{room.soc.bot_url}/api/incidents", json=body) as answer:
            assert answer.status == 202
        if number == 6001:
            await room.soc.clock.advance(60)
    await room.soc.until(lambda: "new incidents" in str(place.messages[-1].now), 120)


async def failures(room: Room, hand: Hand, chat: Chat) -> None:
    """What the services say when they refuse is text of strangers, too."""
    written = await chat.ask("kql once more #3177")
    room.logs.answer = lambda asked: 503 if asked.path == METADATA else (400, refusal(taint()))
    await chat.press(written, "Run")
    row = table({"Text": "string"}, [taint()], error=refusal(taint())["error"])
    room.logs.answer = lambda asked: row
    await chat.press(written, "Run")
    assert isinstance(room.model, HostileModel)
    room.model.failing = True
    for words in ("what now?", "tasks", "tactics", "kql and now?", "summary"):
        await hand.say(chat, words)
    room.model.failing = False


async def others(room: Room, hand: Hand, chat: Chat) -> None:
    """Pasted links, thumbs, forged buttons, bodies that are none, and the operator's route."""
    name = room.soc.case(3177).name
    link = (
        "https://portal.azure.com/#asset/Microsoft_Azure_Security_Insights/Incident/subscriptions"
    )
    link += f"/x/providers/Microsoft.SecurityInsights/Incidents/{name}"
    await hand.invoke(chat, "composeExtension/queryLink", {"url": link})
    assert f"{SUBSCRIPTION}" not in str(room.responses[-1]) and "attachments" in str(room.responses)
    await hand.invoke(chat, "composeExtension/queryLink", {"url": taint()})
    value = {"actionName": "feedback", "actionValue": {"reaction": taint(), "feedback": taint()}}
    await hand.invoke(chat, "message/submitAction", value, replyToId=taint())
    for verb in (*verbs(), taint()):
        data = {"verb": verb, "proposal": taint(), "as": taint(), "item": taint()}
        data |= {"workspace": taint(), "incident": taint(), "shared": True}
        await hand.invoke(chat, "adaptiveCard/action", {"action": {"data": data}})
    await hand.invoke(chat, taint(), {})
    for path in ("messages", "incidents"):
        body = {"type": taint(), "object": {"id": taint()}, "text": taint()}
        async with room.soc.http.post(f"{room.soc.bot_url}/api/{path}", json=body) as answer:
            room.responses.append(await answer.text())
    async with room.soc.http.get(f"{room.soc.bot_url}/readyz") as answer:
        room.responses.append(await answer.json())


def held(room: Room, mark: Mark) -> None:
    """Nothing live or hidden anywhere; and the texts did arrive, harmless."""
    sent, things = json.dumps([*mark.sent, *room.responses]), ""
    for case in room.soc.world.cases.values():
        assert not mark.wrong(case), "\n".join(mark.wrong(case)[:9])
        things += "\n".join(mark.written(case))
        comment = case.incident["properties"].get("classificationComment", "")
        assert "Closed by" not in comment or not wrong_in_field(comment.replace("\n", " "))
    asked = mark.to_model
    assert max(len(set(_seen(each.inside))) for each in asked) > 20
    for request in asked:
        loose = set(_seen(request.outside)) & strangers(room)
        assert not loose, f"outside the fence: {loose} in {request.question[:300]}"
    assert len(set(_seen(sent))) > 60 and len(set(_seen(things))) > 5
    assert not TRACE.search(sent + things)
    assert room.soc.teams.violations == []


def strangers(room: Room) -> set[str]:
    """What stands in the incidents; a tactic's name is put into the question about it, too."""
    found, tactics = set[str](), set[str]()
    for number in (3177, 3178):
        case = room.soc.case(number)
        parts = [case.incident["properties"], case.alerts, case.entities]
        found |= set(_seen(json.dumps(parts)))
        tactics |= set(_seen(json.dumps([each["properties"]["tactics"] for each in case.alerts])))
    return (found | set(_seen(room.row))) - tactics


def _seen(text: str) -> list[str]:
    return re.findall(r"t\d+x", text)


# --- the list of ways out ------------------------------------------------------------------------


def verbs() -> set[str]:
    """The verbs that a click may have: those that `clicker` compares with, and those of `LONG`."""
    tree = ast.parse(Path(dialogs.__file__).read_text("utf-8"))
    compared = {
        side.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare) and isinstance(node.left, ast.Name)
        if node.left.id == "verb"
        for side in node.comparators
        if isinstance(side, ast.Constant)
    }
    return {*compared, *dialogs.LONG, "say"}


# What makes something that is sent or written, and the modules that do. A new one belongs into
# this list once a word, a button or a route above leads through it, or once it says why not.
MAKES = {"Reply", "Unfurled", "Citation", "add_comment", "add_task"}
ELEMENTS = {"text", "subtle", "title", "facts", "submit", "say", "execute", "open_link"}
WAYS_OUT = {
    *("bot.cards._copy", "bot.cards._offer", "bot.cards._parts", "bot.cards.act", "bot.cards.chat"),
    *("bot.cards.digest", "bot.cards.incident", "bot.cards.playbook", "bot.cards.proposal"),
    *("bot.cards.query", "bot.cards.rows"),
    *("bot.desk.act", "bot.desk.post"),
    *("bot.teams.bot", "bot.teams.invokes", "bot.teams.messages", "bot.teams.roster"),
    *("bot.teams.sign_in", "bot.teams.unfurling"),
    *("dialogs.act", "dialogs.announce", "dialogs.ask", "dialogs.cost", "dialogs.forget"),
    *("dialogs.handover", "dialogs.help", "dialogs.history", "dialogs.incident"),
    *("dialogs.incidents", "dialogs.kql", "dialogs.sign_in", "dialogs.unfurl"),
}


def makes(path: Path) -> bool:
    """Whether a module makes something to be sent or written."""
    tree = ast.parse(path.read_text("utf-8"))
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    written = any(
        each.endswith(("incidents.update", ".add_comment", ".add_task")) for each in called
    )
    shapes = {each.value for each in ast.walk(tree) if isinstance(each, ast.Constant)}
    card = path.parent.name == "cards" and called & ELEMENTS
    return bool(called & MAKES or written or card or shapes & {"TextBlock", "TextRun", "preview"})


def test_the_ways_out_are_these() -> None:
    ours = [path for path in modules() if not {"sandbox", "azure", "evals"} & set(path.parts)]
    assert {name_of(path) for path in ours if makes(path)} == WAYS_OUT
