"""Anything at all at every door: an answer of the contract, no traceback, no growth.

Ten thousand examples in `make test`; `make fuzz` runs many more. Most change a few fields of
what is good: whatever is wrong with one is then met behind the checks of all the others.
"""

from __future__ import annotations

import copy
import gc
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import SettingsError
from bot.settings import Settings
from tests.fuzz.conftest import TIMES, Target, examples
from tests.scenario.conftest import BOT
from tests.test_settings import LOCAL, NAMES, ODD, PUBLIC
from tests.webhook.conftest import arm_id, trigger

pytestmark = pytest.mark.timeout(300 * TIMES)

MESSAGES, INCIDENTS = "/api/messages", "/api/incidents"

JUNK = [
    *(None, True, False, 0, -1, 7, 2**53, 1e308, 0.1, "", " ", "\n", "\x00", "\u202e\u200b", "é"),
    *("x" * 2_000, "<at>" * 50, "<at>Casemate</at>", "[x](http://evil.example)", "${x}", "{{x}}"),
    *("task", "comment", "all", "personal", "channel", "manual", "automatic", "true", BOT),
    *("https://evil.example/", "http://10.0.0.1/", "http://[::1", "https://a:b@c/", "//x"),
    *([], {}, [[]], [None], [{}], {"id": None}, {"id": "x"}, {"": ""}, {"id": {"id": {}}}),
    *(
        [7, "x"],
        {"tenant": {"id": "x"}},
        {"__class__": 1},
        "9" * 400,
        "-",
        "../..",
        "%00",
        "\ud83d",
    ),
]
WORDS = [
    *("help", "incidents", "incidents mine", "incident 3177", "#42", "history", "reset", "cost"),
    *("forget me", "subscribe", "subscribe high", "unsubscribe", "severity", "assign", "status"),
    *("kql", "summary #1", "tasks 99999999999", "handover", "tactics", "close 0", "reopen #"),
]
words = st.sampled_from(WORDS) | st.sampled_from(JUNK) | st.text(max_size=30)


def changed(whole: Any, changes: list[tuple[str, Any]]) -> Any:
    """Put other values at these paths, where there is something to put them into."""
    for path, value in changes:
        *above, name = path.split(".")
        holder = whole
        for each in above:
            holder = holder.get(each) if isinstance(holder, dict) else None
        if isinstance(holder, dict):
            holder[name] = copy.deepcopy(value)
    return whole


def changes(paths: str, most: int = 3) -> st.SearchStrategy[list[tuple[str, Any]]]:
    # One draw for both: most of what an example costs is hypothesis' own drawing.
    pairs = [(path, value) for path in paths.split() for value in JUNK]
    return st.lists(st.sampled_from(pairs), max_size=most)


def encoded(body: Any) -> bytes:
    return json.dumps(body).encode()


PATHS = (
    "type id name channelId serviceUrl conversation conversation.id conversation.conversationType "
    "conversation.tenantId conversation.isGroup from from.id from.aadObjectId from.name from.role "
    "recipient recipient.id recipient.name channelData channelData.tenant channelData.tenant.id "
    "channelData.eventType channelData.team value text entities attachments membersAdded "
    "membersRemoved replyToId locale timestamp action label valueType x"
)
KINDS = ["message", "conversationUpdate", "installationUpdate", "typing", "messageReaction"]


@examples(3_000)
@given(st.sampled_from(KINDS), words, changes(PATHS))
def test_activities(target: Target, kind: str, text: Any, changes: list[tuple[str, Any]]) -> None:
    whole = target.activity(type=kind, text=text)
    target.post(MESSAGES, encoded(changed(whole, changes)))


DATA = "verb proposal as item workspace incident how severity verdict comment shared words x"
VERBS = ["add", "act", "share", "incident", "run", "refine", "kql", "say", "enrich", "x"]
INVOKES = [
    *("adaptiveCard/action", "composeExtension/queryLink", "message/submitAction", "task/fetch"),
    *("signin/tokenExchange", "signin/verifyState", "signin/failure", "composeExtension/query"),
]


@examples(2_000)
@given(st.sampled_from(INVOKES), changes(f"{PATHS} value.action value.action.data value.trigger"))
def test_invokes(target: Target, name: str, changes: list[tuple[str, Any]]) -> None:
    value = {
        "action": {"type": "Action.Execute", "verb": "x", "data": {"verb": "add"}},
        "trigger": "manual",
        "url": "https://portal.azure.com/#asset/x",
        "actionName": "feedback",
        "actionValue": {"reaction": "like", "feedback": "{}"},
    }
    whole = target.activity(type="invoke", name=name, value=value)
    status, _ = target.post(MESSAGES, encoded(changed(whole, changes)))
    assert status != 503


@examples(2_000)
@given(st.sampled_from(VERBS), changes(DATA, most=5), st.integers(0, 3))
def test_card_data(target: Target, verb: str, changes: list[tuple[str, Any]], turn: int) -> None:
    case = target.soc.case(3177)
    good = {
        "verb": verb,
        "proposal": "AAAAAAAAAAAAAAAAAAAAAA",
        "as": "task",
        "item": 0,
        "workspace": "sandbox-soc",
        "incident": case.name,
        "how": "shorter",
    }
    data = changed(good, changes)
    submitted = turn == 0  # as a message, which costs ten times an invoke
    if submitted:
        whole = target.activity(value=data, replyToId="a-1")
    else:
        value = {"action": {"type": "Action.Execute", "data": data}, "trigger": "manual"}
        whole = target.activity(type="invoke", name="adaptiveCard/action", value=value)
    status, _ = target.post(MESSAGES, encoded(whole))
    assert status in (202 if submitted else 200, 400)


@examples(1_500)
@given(
    st.binary(max_size=40)
    | changes("object object.id object.properties workspaceInfo x", most=2).map(
        lambda changes: encoded(changed(trigger(), changes))
    )
    | st.text(max_size=30).map(lambda tail: encoded(trigger(arm_id() + tail)))
    | st.sampled_from(JUNK).map(encoded)
)
def test_webhook_bodies(target: Target, body: bytes) -> None:
    # Nothing here is of the workspace that is served.
    assert target.post(INCIDENTS, body)[0] == 400


@examples(1_500)
@given(
    st.dictionaries(
        st.sampled_from([*LOCAL, *" ".join(NAMES).split()]),
        st.sampled_from([*ODD, *(each for each in JUNK if isinstance(each, str))])
        | st.text(max_size=20)
        | st.integers().map(str),
        max_size=4,
    ),
    st.sampled_from([{}, LOCAL, PUBLIC]),
)
def test_settings(odd: dict[str, str], base: dict[str, str]) -> None:
    try:
        chosen = Settings.from_env({**base, **odd})
    except SettingsError as error:
        assert error.problems
    else:
        assert chosen.workspaces[0].workspace
        assert not chosen.local_mode or chosen.host in ("127.0.0.1", "localhost", "::1")


def test_nothing_grows(target: Target) -> None:
    """The same storm again and again, each time under new ids: our code keeps nothing of it."""

    def storm() -> int:
        for value in JUNK:
            for path in ("type", "text", "conversation.conversationType"):
                whole = target.activity(text="help")
                target.post(MESSAGES, encoded(changed(whole, [(path, value)])))
            data = {"verb": "add", "proposal": value}
            action = {"action": {"type": "Action.Execute", "data": data}}
            name = "adaptiveCard/action"
            whole = target.activity(type="invoke", name=name, value=action)
            target.post(MESSAGES, encoded(whole))
            target.post(INCIDENTS, encoded(value))
        target.work_off()
        target.soc.teams.sent.clear()
        target.soc.teams.requests.clear()
        gc.collect()
        ours = [tracemalloc.Filter(True, f"*/{part}/*") for part in ("bot", "dialogs")]
        found = tracemalloc.take_snapshot().filter_traces(ours)
        return sum(each.size for each in found.statistics("filename"))

    tracemalloc.start()
    try:
        first = storm()
        grown = storm() - first
    finally:
        tracemalloc.stop()
    assert grown < 50_000, f"{grown:,} bytes more after a second storm of the same"
