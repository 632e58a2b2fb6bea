"""`POST /api/messages` in local mode: whatever comes gets a status and a sentence, never a 500."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.bodies import MAX_BODY
from bot.domain.people import Analyst
from bot.errors import ClickRefused, SentinelDown
from bot.ports import Answered, Clicked, Clicking, Courier, Reply, Said
from tests.clock import FakeClock
from tests.scenario.conftest import Soc, running
from tests.teams.conftest import ANALYST, BOT, TENANT, Edges, activity, edges
from tests.teams_double import Teams


async def turned_away(edge: Edges, status: int, **options: Any) -> str:
    got, body, headers = await edge.post(**options)
    assert got == status, body
    assert headers["Content-Type"].startswith("application/json")
    assert list(body) == ["error"]
    assert body["error"].endswith(".")
    assert edge.teams.requests == []
    return body["error"]


NOT_ACTIVITIES: dict[str, bytes] = {
    "nothing": b"",
    "not JSON": b"{",
    "not text": b"\xff\xfe\x00",
    "a list": b"[]",
    "null": b"null",
    "a number": b"7",
    "a string": b'"message"',
    "NaN": b'{"type": NaN}',
    "half a surrogate": rb'{"type": "\ud800"}',
    "twice": b"{}{}",
    "an empty object": b"{}",
    "deep lists": b'{"value":' + b"[" * 100 + b"]" * 100 + b"}",
    "deep objects": b'{"a":' * 100 + b"1" + b"}" * 100,
    "very deep": b"[" * 100_000,
    "a form": b"type=message&text=help",
}


@pytest.mark.parametrize("case", NOT_ACTIVITIES)
async def test_a_body_that_is_no_activity(edge: Edges, case: str) -> None:
    await turned_away(edge, 400, data=NOT_ACTIVITIES[case])


VALUES: list[Any] = [None, 7, True, "", "  ", [], {}, ["x"], {"id": "x"}, "x" * 2_000]


@pytest.mark.parametrize("type", ["message", "invoke"])
@pytest.mark.parametrize(
    "field", ["type", "id", "channelId", "serviceUrl", "conversation", "from", "recipient"]
)
async def test_a_needed_field_of_the_wrong_kind(edge: Edges, type: str, field: str) -> None:
    good: dict[str, Any] = {"type": type, "name": "adaptiveCard/action"}
    for value in VALUES:
        if isinstance(value, dict) and value and field in ("conversation", "from", "recipient"):
            continue
        says = await turned_away(edge, 400, json=edge.activity(**{**good, field: value}))
        assert field in says


@pytest.mark.parametrize("field", ["conversation", "from", "recipient"])
async def test_a_needed_id_of_the_wrong_kind(edge: Edges, field: str) -> None:
    for value in VALUES:
        says = await turned_away(edge, 400, json=edge.activity(**{field: {"id": value}}))
        assert f"{field}.id" in says


@pytest.mark.parametrize(
    "fields",
    [
        {"text": 7},
        {"text": ["help"]},
        {"text": {"a": 1}},
        {"text": True},
        {"entities": {"type": "mention"}},
        {"entities": "x"},
        {"attachments": {"a": 1}},
        {"type": "invoke"},
        {"type": "invoke", "name": 7},
        {"type": "conversationUpdate", "id": 7},
        {"type": "conversationUpdate", "id": "x" * 2_000},
    ],
    ids=str,
)
async def test_another_field_of_the_wrong_kind(edge: Edges, fields: dict[str, Any]) -> None:
    await turned_away(edge, 400, json=edge.activity(**fields))


@pytest.mark.parametrize(
    "url", ["https://evil.example/", "http://10.0.0.1/", "not a URL", "file:/"]
)
async def test_a_service_url_that_is_neither_teams_nor_this_machine(edge: Edges, url: str) -> None:
    await turned_away(edge, 403, json=edge.activity(serviceUrl=url))


# size and time


def padded(edge: Edges, size: int) -> bytes:
    body = edge.activity(channelData={"tenant": {"id": TENANT}, "padding": ""})
    body["channelData"]["padding"] = "x" * (size - len(json.dumps(body).encode()))
    return json.dumps(body).encode()


async def test_the_largest_body_that_is_taken(edge: Edges) -> None:
    assert (await edge.post(data=padded(edge, MAX_BODY)))[0] == 202
    await edge.until(lambda: edge.messages)


async def test_one_byte_more_is_refused_by_its_length(edge: Edges) -> None:
    assert "256 KiB" in await turned_away(edge, 413, data=padded(edge, MAX_BODY + 1))


async def test_a_chunked_body_is_counted_as_it_comes(edge: Edges) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 50 * MAX_BODY:
            sent += 65_536
            yield b"x" * 65_536

    await turned_away(edge, 413, data=endless())
    assert sent < 50 * MAX_BODY


async def test_a_packed_body_is_counted_unpacked(edge: Edges) -> None:
    bomb = gzip.compress(b" " * (20 * MAX_BODY))
    assert len(bomb) < MAX_BODY
    await turned_away(edge, 413, data=bomb, headers={"Content-Encoding": "gzip"})


async def test_a_packed_activity_is_read(edge: Edges) -> None:
    packed = gzip.compress(json.dumps(edge.activity()).encode())
    status, _, _ = await edge.post(data=packed, headers={"Content-Encoding": "gzip"})
    assert status == 202
    await edge.until(lambda: edge.messages)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_body_that_is_not_packed_as_it_says(edge: Edges, encoding: str) -> None:
    await turned_away(edge, 400, data=b"not packed", headers={"Content-Encoding": encoding})


async def test_a_body_that_does_not_come_is_not_waited_for(
    stack: AsyncExitStack,
    clock: FakeClock,
    teams: Teams,
    http: ClientSession,
    service_url: str,
    tmp_path: Path,
) -> None:
    edge = await edges(
        stack, clock, teams, http, service_url, tmp_path / "slow.db", read_seconds=0.05
    )
    never = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b'{"type":'
        await never.wait()

    await turned_away(edge, 400, data=slow())


async def test_a_caller_who_leaves_in_the_middle_leaves_no_trace(
    edge: Edges, caplog: pytest.LogCaptureFixture
) -> None:
    host, _, port = edge.url.removeprefix("http://").partition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /api/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert (await edge.post(edge.activity()))[0] == 202
    await edge.until(lambda: edge.messages)
    assert not [record for record in caplog.records if record.exc_info]


# what is not answered


@pytest.mark.parametrize(
    "type",
    [
        "typing",
        "messageReaction",
        "messageUpdate",
        "messageDelete",
        "installationUpdate",
        "event",
        "endOfConversation",
        "trace",
        "something new",
    ],
)
async def test_other_types_are_taken_and_change_nothing(edge: Edges, type: str) -> None:
    body = edge.activity(type=type, id=None, recipient=None)
    body.pop("from")
    assert (await edge.post(body))[:2] == (202, None)
    await edge.settled()
    assert edge.teams.requests == []


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"membersAdded": [{"id": "29:someone"}]},
        {"membersAdded": [{}], "recipient": None},
        {"membersAdded": "x"},
        {"membersAdded": [None, 7, {"id": 7}]},
        {"membersRemoved": [{"id": BOT}]},
        {"channelData": {"eventType": "channelCreated", "tenant": {"id": TENANT}}},
    ],
    ids=str,
)
async def test_news_about_others_is_not_answered(edge: Edges, fields: dict[str, Any]) -> None:
    body = edge.activity(type="conversationUpdate", text=None, **fields)
    assert (await edge.post(body))[0] == 202
    await edge.settled()
    assert edge.teams.requests == []


@pytest.mark.parametrize("id", ["u-1", None])
async def test_the_bot_says_what_it_can_when_it_arrives(edge: Edges, id: str | None) -> None:
    for _ in range(2):
        members = [{"id": "29:someone"}, {"id": BOT}]
        body = edge.activity(type="conversationUpdate", id=id, text=None, membersAdded=members)
        assert (await edge.post(body))[0] == 202
        await edge.until(lambda: edge.messages)
    await edge.settled()
    # Without an id a repeat cannot be told from news.
    assert [sent.text for sent in edge.messages] == ["You said help."] * (1 if id else 2)


async def test_a_repeat_is_taken_and_answered_once(edge: Edges) -> None:
    body = edge.activity()
    assert [(await edge.post(body))[0] for _ in range(3)] == [202] * 3
    await edge.until(lambda: edge.messages)
    assert (await edge.post(body))[0] == 202
    await edge.settled()
    assert len(edge.messages) == 1
    assert (await edge.post(edge.activity()))[0] == 202
    await edge.until(lambda: len(edge.messages) == 2)


# invokes


def invoke(edge: Edges, name: str, value: Any = None, **fields: Any) -> dict[str, Any]:
    return edge.activity(type="invoke", name=name, value=value, text=None, **fields)


@pytest.mark.parametrize(
    "name",
    ["composeExtension/query", "signin/verifyState", "task/fetch", "x", "ADAPTIVECARD/ACTION"],
)
async def test_an_unknown_invoke(edge: Edges, name: str) -> None:
    status, body = (await edge.post(invoke(edge, name, {})))[:2]
    assert (status, "does not know" in str(body)) == (400, True)


def audit(edge: Edges) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(edge.database)) as db:
        return [json.loads(item) for (item,) in db.execute("SELECT item FROM audit ORDER BY seq")]


async def test_a_thumb_is_recorded(edge: Edges) -> None:
    given = {"reaction": "like", "feedback": '{"feedbackText":"right"}'}
    value = {"actionName": "feedback", "actionValue": given}
    body = invoke(edge, "message/submitAction", value, replyToId="s-1")
    assert (await edge.post(body))[:2] == (200, {})
    (item,) = audit(edge)
    assert item["action"] == "feedback"
    assert (item["analyst_id"], item["analyst_name"]) == (ANALYST, "Ana Analyst")
    unknown = dict.fromkeys(("asked", "question_sha256", "prompt", "model", "proposal"), "unknown")
    assert item["detail"] == {**given, "message": "s-1", **unknown}
    assert item["incident"] is None


@pytest.mark.parametrize(
    "value",
    [None, 7, [], {}, {"actionValue": 7}, {"actionValue": {"reaction": [], "x": "y" * 9999}}],
)
async def test_a_thumb_of_any_shape_is_taken(edge: Edges, value: Any) -> None:
    assert (await edge.post(invoke(edge, "message/submitAction", value)))[:2] == (200, {})
    assert len(audit(edge)) == 1


def execute(edge: Edges, data: Any, trigger: str = "manual", **fields: Any) -> dict[str, Any]:
    action = {"type": "Action.Execute", "verb": "add", "data": data}
    value = {"action": action, "trigger": trigger}
    return invoke(edge, "adaptiveCard/action", value, **fields)


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        "x",
        [],
        {},
        {"action": None},
        {"action": []},
        {"action": {}},
        {"action": {"data": None}},
        {"action": {"data": "x"}},
        {"action": {"data": [1]}},
    ],
    ids=str,
)
async def test_a_button_that_carries_nothing(edge: Edges, value: Any) -> None:
    status, body, _ = await edge.post(invoke(edge, "adaptiveCard/action", value))
    assert status == 200
    assert body["statusCode"] == 400
    assert body["type"] == "application/vnd.microsoft.error"
    assert body["value"]["code"] == "BadRequest"
    assert body["value"]["message"].endswith(".")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ClickRefused("This card is too old."), "This card is too old."),
        (SentinelDown("Sentinel does not answer."), "Sentinel does not answer."),
        (KeyError("a bug"), "Something went wrong on my side"),
    ],
    ids=repr,
)
async def test_a_click_that_fails_says_so(edge: Edges, error: Exception, says: str) -> None:
    async def click(clicked: Clicked) -> Clicking:
        raise error

    edge.click = click
    status, body, _ = await edge.post(execute(edge, {}))
    assert (status, body["statusCode"]) == (200, 200)
    assert body["type"] == "application/vnd.microsoft.activity.message"
    assert body["value"].startswith(says)


async def test_a_click_tells_who_where_and_what(edge: Edges) -> None:
    seen: list[Clicked] = []

    async def click(clicked: Clicked) -> Clicking:
        seen.append(clicked)
        return Clicking()

    edge.click = click
    status, body, _ = await edge.post(execute(edge, {"verb": "add", "proposal": "x"}))
    assert (status, body["value"]) == (200, "Done.")
    assert seen[0].analyst == Analyst(TENANT, ANALYST, "Ana Analyst")
    assert seen[0].place.conversation == "a:chat"
    assert seen[0].data == {"verb": "add", "proposal": "x"}
    assert seen[0].at == edge.clock.now()


async def test_a_refresh_changes_nothing(edge: Edges) -> None:
    clicked: list[Clicked] = []

    async def click(click: Clicked) -> Clicking:
        clicked.append(click)
        return Clicking()

    edge.click = click
    status, body, _ = await edge.post(execute(edge, {"verb": "add"}, trigger="automatic"))
    assert (status, body["statusCode"]) == (200, 400)
    assert clicked == []


CARD = {"type": "AdaptiveCard", "version": "1.5", "body": []}


@pytest.mark.parametrize(
    ("conversation", "kind"), [("a:chat", "personal"), ("19:group", "groupChat")]
)
async def test_a_click_shows_the_new_card_to_whoever_clicked_and_in_a_group_to_all(
    edge: Edges, conversation: str, kind: str
) -> None:
    async def click(clicked: Clicked) -> Clicking:
        return Clicking(CARD, message=Reply("An answer.", (CARD,)))

    edge.click = click
    where = {"id": conversation, "conversationType": kind}
    assert (await edge.post(edge.activity(conversation=where)))[0] == 202
    await edge.until(lambda: edge.messages)
    sent = edge.messages[0]
    body = execute(edge, {}, conversation=where, replyToId=sent.id)
    status, answer, _ = await edge.post(body)
    assert status == 200
    assert answer == {
        "statusCode": 200,
        "type": "application/vnd.microsoft.card.adaptive",
        "value": CARD,
    }
    if kind == "groupChat":
        await edge.until(lambda: sent.card == CARD)
        assert sent.text == "An answer."
    else:
        await edge.settled()
        assert sent.card is None
    assert edge.teams.violations == []


async def test_a_click_that_opens_something_says_it_anew(edge: Edges) -> None:
    async def click(clicked: Clicked) -> Clicking:
        return Clicking(answered=Answered(Reply("Incident 42.", (CARD,))))

    edge.click = click
    status, body, _ = await edge.post(execute(edge, {}))
    assert (status, body["value"]) == (200, "Done.")
    assert edge.messages[0].card == CARD


async def test_a_button_of_a_client_that_only_submits(edge: Edges) -> None:
    async def click(clicked: Clicked) -> Clicking:
        return Clicking(CARD, message=Reply(f"Added {clicked.data['n']}.", (CARD,)))

    edge.click = click
    await edge.post(edge.activity())
    await edge.until(lambda: edge.messages)
    sent = edge.messages[0]
    assert (await edge.post(edge.activity(text=None, value={"n": 1}, replyToId=sent.id)))[0] == 202
    await edge.until(lambda: sent.text == "Added 1.")
    assert sent.card == CARD


async def test_a_failing_dialog_still_answers_and_the_next_turn_is_well(edge: Edges) -> None:
    async def respond(said: Said, courier: Courier) -> Answered:
        if said.text == "bug":
            raise KeyError("a bug")
        if said.text == "down":
            raise SentinelDown("Sentinel does not answer.")
        return Answered(Reply("fine"))

    edge.respond = respond
    for text in ("bug", "down", "ok"):
        await edge.post(edge.activity(text=text))
    await edge.until(lambda: len(edge.messages) == 3)
    first, second, third = (sent.text for sent in edge.messages)
    assert first.startswith("Something went wrong on my side")
    assert second == "Sentinel does not answer."
    assert third == "fine"


# no room, no store


async def test_when_full_teams_is_asked_to_come_back(
    stack: AsyncExitStack,
    clock: FakeClock,
    teams: Teams,
    http: ClientSession,
    service_url: str,
    tmp_path: Path,
) -> None:
    edge = await edges(
        stack, clock, teams, http, service_url, tmp_path / "full.db", at_once=1, most_waiting=2
    )
    go = asyncio.Event()

    async def respond(said: Said, courier: Courier) -> Answered:
        await go.wait()
        return Answered(Reply("done"))

    edge.respond = respond
    await edge.settled(1)  # the timer has counted what there was
    assert [(await edge.post(edge.activity()))[0] for _ in range(2)] == [202, 202]
    status, body, headers = await edge.post(edge.activity())
    assert (status, headers["Retry-After"]) == (503, "5")
    assert body["error"] == "Casemate is busy. Please try again in a few seconds."
    go.set()
    await edge.until(lambda: len(edge.messages) == 2)
    await edge.settled()
    assert (await edge.post(edge.activity()))[0] == 202
    await edge.until(lambda: len(edge.messages) == 3)


async def test_while_the_store_is_locked_nothing_is_promised(edge: Edges) -> None:
    body = edge.activity()
    with closing(sqlite3.connect(edge.database)) as other:
        other.execute("BEGIN IMMEDIATE")
        status, answer, headers = await edge.post(body)
        assert (status, headers["Retry-After"]) == (503, "5")
        assert answer["error"].startswith("Casemate cannot keep messages")
        status, _, headers = await edge.post(invoke(edge, "message/submitAction", {}))
        assert (status, headers["Retry-After"]) == (503, "5")
        other.rollback()
    assert (await edge.post(body))[0] == 202
    await edge.until(lambda: edge.messages)


# anything at all, over the socket: tests/fuzz has ten thousand more below it


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3)
    ),
    max_leaves=6,
)
TEXT = st.sampled_from(
    ["help", "incidents", "incident 3177", "#42", "history", "reset", "forget me", "\x00", "<at>"]
) | st.text(max_size=60)
DATA = JSON | st.fixed_dictionaries(
    {},
    optional={
        "verb": st.sampled_from(["add", "incident"]) | JSON,
        "proposal": JSON,
        "as": st.sampled_from(["task", "comment"]) | JSON,
        "item": st.just("all") | JSON,
        "workspace": JSON,
        "incident": JSON,
    },
)
NAMES = st.sampled_from(["adaptiveCard/action", "message/submitAction", "message/fetchTask"])
VALUE = JSON | st.fixed_dictionaries(
    {},
    optional={
        "action": JSON | st.fixed_dictionaries({"data": DATA}),
        "trigger": st.sampled_from(["manual", "automatic"]) | JSON,
        "actionValue": JSON | st.fixed_dictionaries({"reaction": JSON, "feedback": JSON}),
    },
)
ENTITY = JSON | st.fixed_dictionaries({"type": st.just("mention"), "text": JSON, "mentioned": JSON})
ACTIVITY = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["message", "invoke", "conversationUpdate"]),
        "id": st.uuids().map(str),
    },
    optional={
        "name": NAMES | JSON,
        "text": TEXT | JSON,
        "value": VALUE,
        "entities": st.lists(ENTITY, max_size=3) | JSON,
        "attachments": JSON,
        "from": JSON | st.fixed_dictionaries({"id": JSON, "aadObjectId": JSON, "name": JSON}),
        "recipient": JSON | st.fixed_dictionaries({"id": st.just(BOT) | JSON, "name": JSON}),
        "conversation": JSON
        | st.fixed_dictionaries(
            {"id": st.text(max_size=20) | JSON, "conversationType": JSON, "tenantId": JSON}
        ),
        "channelData": JSON | st.fixed_dictionaries({"tenant": JSON}),
        "channelId": JSON,
        "replyToId": JSON,
        "membersAdded": JSON | st.just([{"id": BOT}]),
        "locale": JSON,
        "timestamp": JSON,
        "action": JSON,
    },
)


@pytest.fixture
async def soc(
    clock: FakeClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[Soc]:
    """The whole application; in the end all it took is answered, and nothing went wrong inside."""
    caplog.set_level(logging.ERROR)
    async with running(clock, tmp_path) as soc:
        yield soc
        with closing(sqlite3.connect(tmp_path / "casemate.db")) as db:
            owed = "SELECT count(*) FROM claims WHERE finished IS NULL"
            await soc.until(lambda: db.execute(owed).fetchone() == (0,), seconds=10_000)
            (answered,) = db.execute("SELECT count(*) FROM claims").fetchone()
    assert answered > 20
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []


@settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(fields=ACTIVITY)
async def test_anything_gets_an_answer_and_nothing_a_traceback(
    soc: Soc, fields: dict[str, Any]
) -> None:
    body = {**activity(soc.service_url), **fields}
    async with soc.http.post(f"{soc.bot_url}/api/messages", json=body) as response:
        text = await response.text()
    assert response.status < 500
    if response.status >= 400:
        assert list(json.loads(text)) == ["error"]
