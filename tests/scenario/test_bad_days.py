"""What an analyst sees when the model, Sentinel or Teams misbehaves."""

from __future__ import annotations

import pytest

from sandbox.world import Fault
from tests.scenario.conftest import Soc, find_button
from tests.teams_double import Refusal


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("sandbox:429", "45 seconds"),
        ("sandbox:429-short", "*Sandbox model"),
        ("sandbox:cut", "broke off"),
        ("sandbox:empty", "no answer"),
        ("sandbox:filter-answer", "content filter"),
        ("sandbox:refused", "playbook"),
        ("sandbox:down", "playbook"),
        ("sandbox:malformed", "Sandbox model"),
    ],
)
async def test_each_failure_has_a_sentence(soc: Soc, word: str, says: str) -> None:
    chat = soc.chat()
    answer = await chat.ask(f"{word} what happened in incident 3177?")
    assert says in answer.text
    assert "Traceback" not in answer.text
    good = await chat.ask("which accounts should I reset first?")
    assert "lena.fischer@contoso.com" in good.text
    assert soc.teams.violations == []


async def test_a_long_answer_stays_whole(soc: Soc) -> None:
    chat = soc.chat()
    await chat.say("sandbox:long what happened in incident 3177?")
    await soc.until(lambda: chat.messages and find_button(chat.messages[-1].card, "Add as task"))
    assert len(chat.messages) > 3
    assert [bool(message.card) for message in chat.messages][:-1] == [False] * (
        len(chat.messages) - 1
    )
    whole = "".join(message.text for message in chat.messages)
    assert len(whole) > 30_000
    assert soc.teams.violations == []


async def test_nothing_in_an_answer_is_live(soc: Soc) -> None:
    chat = soc.chat()
    answer = await chat.ask("sandbox:link what happened in incident 3177?")
    await chat.click(answer, "Add as comment")
    comment = list(soc.case(3177).comments.values())[-1]["properties"]["message"]
    for text in (answer.text, *answer.updates, comment):
        for live in ("](http", "http://", "https://", "<at>", "<a ", "<img", "\u202e", "\u200b"):
            assert live not in text


async def test_stop_ends_the_model_too(soc: Soc) -> None:
    chat = soc.chat()
    stop = {"error": {"code": "ContentStreamNotAllowed", "message": "Canceled by the user"}}
    await chat.say("sandbox:slow what happened in incident 3177?")
    await soc.until(lambda: any(len(sent.history) > 1 for sent in soc.teams.sent.values()))
    soc.teams.refusals.append(Refusal(403, stop, times=99, containing="streaminfo"))
    await soc.until(lambda: soc.teams.refusals[0].times < 99)
    sent = next(iter(soc.teams.sent.values()))
    shown = len(sent.history)
    soc.teams.refusals.clear()
    sent.stream_open = False

    answer = await chat.ask("help")
    assert answer.text.startswith("I answer questions")
    assert len(sent.history) == shown, "nothing more is said after a Stop"


async def test_when_the_two_minutes_run_out_the_message_is_edited(soc: Soc) -> None:
    chat = soc.chat()
    await chat.say("sandbox:slow what happened in incident 3177?")
    await soc.until(lambda: any(len(sent.history) > 1 for sent in soc.teams.sent.values()))
    sent = next(iter(soc.teams.sent.values()))
    await soc.clock.advance(121)
    await soc.until(lambda: chat.messages and chat.messages[-1].card, 3000)
    edits = [version for version in sent.history if version["type"] == "message"]
    assert len(edits) > 2, "it goes on by editing the same message"
    assert "streaminfo" not in str(edits)
    assert chat.messages[0] is sent
    assert soc.teams.violations == []


@pytest.mark.parametrize("status", [412, 429, 502, 504])
async def test_what_teams_asks_to_repeat_is_repeated(soc: Soc, status: int) -> None:
    chat = soc.chat("groupChat")
    soc.teams.refusals.append(
        Refusal(status, headers={"Retry-After": "4"}, times=2, containing='"message"')
    )
    answer = await chat.ask("help")
    assert answer.text.startswith("I answer questions")
    assert soc.clock.slept.count(4.0) == 2


async def test_an_answer_that_teams_loses_is_sent_again_later(soc: Soc) -> None:
    chat = soc.chat("groupChat")
    soc.teams.refusals.append(Refusal(500, times=1, containing='"message"'))
    answer = await chat.ask("help")
    assert answer.text.startswith("I answer questions")
    assert len(chat.messages) == 1


async def test_a_blocked_bot_gives_up_quietly(soc: Soc) -> None:
    chat = soc.chat("groupChat")
    blocked = {"errorCode": 209, "message": '{"subCode": "MessageWritesBlocked"}'}
    soc.teams.refusals.append(Refusal(403, blocked, times=99))
    await chat.say("help")
    await soc.until(lambda: soc.teams.requests)
    await soc.clock.advance(60)
    assert chat.messages == []
    tried = len(soc.teams.requests)
    await soc.clock.advance(60)
    assert len(soc.teams.requests) == tried


@pytest.mark.parametrize(
    ("status", "says"), [(403, "Reader"), (404, "no such incident"), (503, "Sentinel")]
)
async def test_sentinel_saying_no_gets_a_sentence(soc: Soc, status: int, says: str) -> None:
    chat = soc.chat()
    await chat.ask("incident 3177")
    soc.world.faults.append(Fault("GET", "/incidents/", status=status, count=99))
    answer = await chat.ask("what happened?")
    assert says in answer.text
    assert answer.card is None


async def test_a_click_that_sentinel_refuses_says_why_and_can_be_repeated(soc: Soc) -> None:
    chat = soc.chat()
    answer = await chat.ask("what happened in incident 3177?")
    before = len(soc.case(3177).tasks)
    soc.world.faults.append(Fault("PUT", "/tasks/", status=403, count=1))
    said = await chat.click(answer, "Add as task")
    assert said["type"] == "application/vnd.microsoft.activity.message"
    assert "Responder" in said["value"]
    assert len(soc.case(3177).tasks) == before
    card = await chat.click(answer, "Add as task")
    assert "Ana Analyst" in str(card["value"])
    assert len(soc.case(3177).tasks) == before + 1


async def test_a_write_whose_answer_was_lost_is_not_written_twice(soc: Soc) -> None:
    chat = soc.chat()
    answer = await chat.ask("what happened in incident 3177?")
    before = len(soc.case(3177).tasks)
    soc.world.faults.append(Fault("PUT", "/tasks/", status=500, count=1, after=True))
    await chat.click(answer, "Add as task")
    card = await chat.click(answer, "Add as task")
    assert "Ana Analyst" in str(card["value"])
    assert len(soc.case(3177).tasks) == before + 1


@pytest.mark.parametrize(
    "data",
    [
        {"verb": "add", "proposal": "made-up", "as": "task", "item": 0},
        {"verb": "add", "proposal": "", "as": "task", "item": 0},
        {"verb": "add", "proposal": 7, "as": "task", "item": 0},
        {"verb": "add", "proposal": "REAL", "as": "delete", "item": 0},
        {"verb": "add", "proposal": "REAL", "as": "task", "item": 99},
        {"verb": "add", "proposal": "REAL", "as": "task", "item": -1},
        {"verb": "add", "proposal": "REAL", "as": "task", "item": True},
        {"verb": "add", "proposal": "REAL", "as": "task", "item": "0"},
        {"verb": "add", "proposal": "REAL", "as": ["task"], "item": 0},
        {"verb": "incident", "workspace": "sandbox", "incident": "../../x"},
        {"verb": "incident", "workspace": "other", "incident": "x"},
        {"verb": "close"},
        {"verb": {"a": 1}},
        {},
    ],
)
async def test_forged_card_data_is_refused_with_a_sentence(
    soc: Soc, data: dict[str, object]
) -> None:
    chat = soc.chat()
    answer = await chat.ask("what happened in incident 3177?")
    real = find_button(answer.card, "Add as task")
    assert real is not None
    if data.get("proposal") == "REAL":
        data = {**data, "proposal": real["data"]["proposal"]}
    status, body = await chat.post(
        chat.activity(
            type="invoke",
            name="adaptiveCard/action",
            value={"action": {"type": "Action.Execute", "verb": "add", "data": data}},
        )
    )
    assert status == 200
    assert body["type"] != "application/vnd.microsoft.card.adaptive"
    assert "Traceback" not in str(body)
    assert soc.writes() == []


async def test_a_click_from_elsewhere_is_refused(soc: Soc) -> None:
    answer = await soc.chat().ask("what happened in incident 3177?")
    said = await soc.chat().click(answer, "Add as task")
    assert "another conversation" in said["value"]
    assert soc.writes() == []


async def test_an_old_card_is_refused(soc: Soc) -> None:
    chat = soc.chat()
    answer = await chat.ask("what happened in incident 3177?")
    soc.clock._elapsed += 8 * 24 * 3600
    said = await chat.click(answer, "Add as task")
    assert "too old" in said["value"]
    assert soc.writes() == []


async def test_a_write_that_came_to_nothing_is_not_put_down_to_who_failed(soc: Soc) -> None:
    ana = soc.chat("groupChat")
    ben = soc.chat("groupChat", ana.conversation, name="Ben", analyst="6" * 8)
    answer = await ana.ask("what happened in incident 3177?")
    soc.world.faults.append(Fault("PUT", "/tasks/", status=403, count=1))
    await ana.click(answer, "Add as task")
    await soc.clock.advance(60)
    card = await ben.click(answer, "Add as task")
    assert "Added as task by Ben" in str(card["value"])
    written = list(soc.case(3177).tasks.values())[-1]["properties"]["description"]
    assert "Added by Ben with Casemate" in written


async def test_local_mode_talks_to_loopback_only(soc: Soc) -> None:
    chat = soc.chat()
    url = "https://smba.trafficmanager.net/teams/"
    assert (await chat.post(chat.activity(text="help", serviceUrl=url)))[0] == 403
