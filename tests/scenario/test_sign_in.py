"""`WRITE_AS=analyst`: whose rights decide, who is asked to sign in, and what goes on after that."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestServer

from bot.local.sqlite import SqliteStore
from tests.clock import FakeClock
from tests.scenario.conftest import TENANT, Chat, Soc, find_button, running
from tests.teams_double import Sent
from tests.token_service_double import CODE, CONNECTION, Azure, TokenService, teams_token

ANA, BEN = (f"{digit * 8}-5555-4555-8555-555555555555" for digit in "56")
QUESTION = "what happened in incident 3177?"


@pytest.fixture
def service(clock: FakeClock) -> TokenService:
    service = TokenService(clock)
    service.consented = {f"29:{ANA}", f"29:{BEN}"}
    return service


@pytest.fixture
def azure(service: TokenService) -> Azure:
    return Azure(service)


@pytest.fixture
async def bot(
    clock: FakeClock, tmp_path: Path, service: TokenService, azure: Azure
) -> AsyncIterator[running]:
    async with TestServer(service.app) as server:
        bot = running(
            clock,
            tmp_path,
            guard=azure.guard,
            WRITE_AS="analyst",
            OAUTH_CONNECTION=CONNECTION,
            TOKEN_SERVICE=str(server.make_url("")),
        )
        async with bot as soc:
            yield bot
            assert service.violations == []
            assert soc.teams.violations == []


@pytest.fixture
def soc(bot: running) -> Soc:
    return bot.soc


def ana(soc: Soc, kind: str = "personal", conversation: str = "") -> Chat:
    return soc.chat(kind, conversation, analyst=ANA, name="Ana Analyst")


def ben(soc: Soc, kind: str = "personal", conversation: str = "") -> Chat:
    return soc.chat(kind, conversation, analyst=BEN, name="Ben Becker")


def is_sign_in(sent: Sent) -> bool:
    kinds = [each["contentType"] for each in sent.now.get("attachments", ())]
    return kinds == ["application/vnd.microsoft.card.oauth"]


async def asked_to_sign_in(chat: Chat, text: str) -> dict[str, Any]:
    """Say something, and get a sentence and a card to sign in; the card comes back."""
    before = len(chat.messages)
    await chat.say(text)
    await chat.soc.until(lambda: len(chat.messages) == before + 2 and chat.soc.quiet)
    sentence, card = chat.messages[before:]
    assert "Once you are signed in, I go on by myself." in sentence.text
    assert is_sign_in(card) and "text" not in card.now
    return card.now["attachments"][0]["content"]


def answers(chat: Chat) -> list[Sent]:
    """What was said, but for what asks to sign in."""
    asking = ("I work with your own rights", "That sign-in was not confirmed")
    return [m for m in chat.messages if not is_sign_in(m) and not m.text.startswith(asking)]


def given(chat: Chat, card: dict[str, Any]) -> dict[str, Any]:
    """What Teams gives for a card that asks to sign in, without a window."""
    return {
        "id": card["tokenExchangeResource"]["id"],
        "connectionName": card["connectionName"],
        "token": teams_token(f"29:{chat.analyst}"),
    }


async def exchange(chat: Chat, card: dict[str, Any], **value: Any) -> tuple[int, Any]:
    value = {**given(chat, card), **value}
    return await chat.post(chat.activity(type="invoke", name="signin/tokenExchange", value=value))


async def confirm(chat: Chat, code: Any) -> int:
    value = {"state": code}
    invoke = chat.activity(type="invoke", name="signin/verifyState", value=value)
    return (await chat.post(invoke))[0]


async def answer_of(chat: Chat, before: int = 0) -> Sent:
    """Wait for an answer, after `before` others."""
    await chat.soc.until(lambda: len(answers(chat)) > before and chat.soc.quiet)
    return answers(chat)[-1]


async def signed_in(chat: Chat) -> Chat:
    """Sign in with the word, as Teams does it by itself."""
    card = await asked_to_sign_in(chat, "sign in")
    before = len(chat.messages)
    assert (await exchange(chat, card))[0] == 200
    await chat.soc.until(
        lambda: chat.soc.quiet and any("are signed in" in m.text for m in chat.messages[before:])
    )
    return chat


async def settle(soc: Soc) -> None:
    """Let enough time pass for anything that is still to be said."""
    for _ in range(40):
        await asyncio.sleep(0.002)
        await soc.clock.advance(0.25)


def attempt(sent: Sent, title: str) -> dict[str, Any]:
    action = find_button(sent.card, title)
    assert action is not None
    execute = {"type": "Action.Execute", "verb": action["verb"], "data": action["data"]}
    return {"action": execute, "trigger": "manual"}


async def press(chat: Chat, sent: Sent, title: str, **value: Any) -> dict[str, Any]:
    invoke = chat.activity(
        type="invoke",
        name="adaptiveCard/action",
        replyToId=sent.id,
        value={**attempt(sent, title), **value},
    )
    status, body = await chat.post(invoke)
    assert status == 200
    return body


# --- signing in ----------------------------------------------------------------------------------


async def test_the_first_question_asks_to_sign_in_and_is_answered_after_that(soc, azure):
    chat = ana(soc)
    card = await asked_to_sign_in(chat, QUESTION)
    assert card["connectionName"] == CONNECTION
    assert card["buttons"][0]["type"] == "signin"
    assert azure.who("/incidents") <= {""}, "Azure was not asked for the analyst yet"

    status, body = await exchange(chat, card)
    assert (status, body) == (200, {"id": "exchange-1", "connectionName": CONNECTION})
    answer = await answer_of(chat)
    assert "in the order of the alerts" in answer.text

    await press(chat, answer, "Add as task")
    assert azure.who("/tasks/", "PUT") == {ANA}
    assert ANA in azure.who("/alerts") and azure.who("/comments") == {ANA}


async def test_help_and_what_needs_no_azure_ask_for_no_sign_in(soc, service):
    assert "I answer questions" in (await ana(soc).ask("help")).text
    assert service.calls == []


async def test_every_device_sends_the_same_exchange_and_it_is_made_once(soc, service):
    chat = ana(soc)
    card = await asked_to_sign_in(chat, QUESTION)
    statuses = [(await exchange(chat, card))[0] for _ in range(3)]
    await answer_of(chat)
    await settle(soc)
    assert statuses == [200] * 3
    assert service.count("exchange") == 1
    assert len(answers(chat)) == 1


async def test_devices_at_the_same_moment_share_one_exchange(soc, service):
    chat = ana(soc)
    card = await asked_to_sign_in(chat, QUESTION)
    answers = await asyncio.gather(*(exchange(chat, card) for _ in range(4)))
    assert [status for status, _ in answers] == [200] * 4
    assert service.count("exchange") == 1


async def test_where_consent_is_missing_a_window_and_its_code_sign_in(soc, service):
    service.consented.clear()
    chat = ana(soc)
    card = await asked_to_sign_in(chat, QUESTION)
    status, body = await exchange(chat, card)
    assert status == 412 and body["failureDetail"]

    assert await confirm(chat, "000000") == 404
    assert "not confirmed" in chat.messages[-1].text
    assert await confirm(chat, CODE) == 200
    assert "in the order of the alerts" in (await answer_of(chat)).text


async def test_an_exchange_that_is_none_signs_nobody_in(soc, service):
    chat = ana(soc)
    card = await asked_to_sign_in(chat, QUESTION)
    for value in ({"token": ""}, {"token": 5}, {"id": None}, {"connectionName": "another"}):
        status, _ = await exchange(chat, card, **value)
        assert status in (400, 412), value
    assert service.count("exchange") == 0


async def test_a_code_that_is_none_never_reaches_the_service(soc, service):
    for code in (None, 7, "", "x", "1 OR 1=1", "9" * 200):
        assert await confirm(ana(soc), code) == 404, code
    assert service.calls == []


FAILURES = {
    "resourcematchfailed": "do not fit together",
    "installedappnotfound": "not installed for you",
    "invokeerror": "press Sign in",
    "<b>[x](https://evil.example)": "(no code)",
    None: "(no code)",
}


async def test_a_failure_is_told_in_words_once_for_all_devices(soc):
    for code, words in FAILURES.items():
        chat = ana(soc)
        for _ in range(3):
            value = {"code": code, "message": "https://evil.example"}
            failure = chat.activity(type="invoke", name="signin/failure", value=value)
            assert await chat.post(failure) == (200, {})
        [told] = chat.messages
        assert words in told.text and "evil" not in told.text
        await soc.clock.advance(61)


async def test_signing_out_ends_it(soc, service, azure):
    chat = await signed_in(ana(soc))
    await chat.ask(QUESTION)
    assert "signed out" in (await chat.ask("Sign out")).text
    assert service.signed_in == {}
    azure.asked.clear()
    assert await asked_to_sign_in(chat, "summary")
    assert ANA not in azure.who()


async def test_a_token_is_renewed_before_it_ends(soc, service, azure, clock):
    chat = await signed_in(ana(soc))
    await chat.ask(QUESTION)
    for _ in range(3):
        await clock.advance(1200)
        assert "in the order" in (await chat.ask(QUESTION)).text
    used = [token for token in azure.tokens if token]
    assert len(set(used)) >= 4 and len(answers(chat)) == 5
    assert azure.who("/alerts") == {ANA}


async def test_who_signed_out_elsewhere_is_asked_again(soc, service, clock):
    chat = await signed_in(ana(soc))
    service.signed_in.clear()
    await clock.advance(601)
    assert await asked_to_sign_in(chat, QUESTION)


async def test_another_account_than_the_one_in_teams_is_refused(soc, service, azure):
    service.signed_in[f"29:{ANA}"] = BEN
    answer = await ana(soc).ask(QUESTION)
    assert "somebody else" in answer.text
    assert BEN not in azure.who()


@pytest.mark.parametrize("call", ["GetToken", "GetSignInResource"])
async def test_a_sign_in_service_that_is_down_is_said(soc, service, call):
    service.failing = {call}
    assert "sign-in service" in (await ana(soc).ask(QUESTION)).text


async def test_a_sign_in_that_the_service_does_not_take_may_be_tried_again(soc, service):
    chat = ana(soc)
    card = await asked_to_sign_in(chat, QUESTION)
    service.failing = {"exchange", "GetToken"}
    assert (await exchange(chat, card))[0] == 412
    assert await confirm(chat, CODE) == 404
    service.failing = set()
    assert (await exchange(chat, card))[0] == 200
    assert "in the order of the alerts" in (await answer_of(chat)).text


# --- who may what --------------------------------------------------------------------------------


async def test_an_analyst_never_works_with_another_ones_token(soc, azure):
    chat = await signed_in(ana(soc))
    await chat.ask(QUESTION)
    other = ben(soc)
    azure.asked.clear()
    assert await asked_to_sign_in(other, QUESTION)
    assert azure.who() <= {""}
    await signed_in(other)
    azure.asked.clear()
    await other.ask(QUESTION)
    assert azure.who() == {BEN}


async def test_what_one_may_read_is_not_shown_to_another_who_may_not(soc, azure):
    chat = await signed_in(ana(soc))
    await chat.ask(QUESTION)
    azure.refuses = lambda who, method, path: who == BEN
    other = await signed_in(ben(soc))
    answer = await other.ask(QUESTION)
    assert "You lack Microsoft Sentinel Reader on the workspace" in answer.text
    assert "order of the alerts" not in answer.text


async def test_where_azure_refuses_a_write_the_analyst_reads_which_role_is_missing(soc, azure):
    chat = await signed_in(ana(soc))
    answer = await chat.ask(QUESTION)
    azure.refuses = lambda who, method, path: method == "PUT"
    said = await press(chat, answer, "Add as task")
    assert "You lack Microsoft Sentinel Responder on the workspace" in said["value"]
    azure.refuses = lambda who, method, path: False
    added = await press(chat, answer, "Add as task")
    assert "Ana Analyst" in str(added["value"])


async def test_a_query_is_run_with_the_analysts_own_rights(soc, azure):
    chat = await signed_in(ana(soc))
    await chat.ask("incident 3177")
    query = await chat.ask("kql sign-ins of lena.fischer@contoso.com in the last 7 days")
    azure.asked.clear()
    await chat.press(query, "Run")
    assert azure.who("/query") == {ANA}
    azure.refuses = lambda who, method, path: path.endswith("/query")
    refused = await chat.press(query, "Run")
    assert "You lack Log Analytics Reader" in refused.text + str(refused.card)


async def test_what_nobody_asked_for_is_done_with_the_bots_own_identity(soc, azure):
    channel = ana(soc, "channel", "19:soc@thread.tacv2")
    await channel.ask("subscribe")
    azure.asked.clear()
    await settle(soc)
    await soc.clock.advance(120)
    await settle(soc)
    assert azure.who() == {""}


# --- what was interrupted ------------------------------------------------------------------------


async def shared_answer(soc: Soc) -> tuple[Sent, Chat]:
    """An answer that Ana got in a group, and Ben, who has not signed in, beside it."""
    await signed_in(ana(soc))
    group = ana(soc, "groupChat", "19:group")
    return await group.ask(QUESTION), ben(soc, "groupChat", "19:group")


async def test_a_click_is_answered_with_a_request_to_sign_in_and_done_by_the_next(soc, azure):
    answer, other = await shared_answer(soc)
    asked = await press(other, answer, "Add as task")
    assert (asked["statusCode"], asked["type"]) == (
        401,
        "application/vnd.microsoft.activity.loginRequest",
    )
    assert azure.who("", "PUT") == set()

    again = await press(other, answer, "Add as task", authentication=given(other, asked["value"]))
    assert "Ben Becker" in str(again["value"])
    assert azure.who("/tasks/", "PUT") == {BEN}


async def test_two_clicks_at_once_sign_in_once_and_write_once(soc, service):
    answer, other = await shared_answer(soc)
    before, exchanges = len(soc.case(3177).tasks), service.count("exchange")
    first, second = await asyncio.gather(
        press(other, answer, "Add as task"), press(other, answer, "Add as task")
    )
    tokens = [given(other, asked["value"]) for asked in (first, second)]
    done = await asyncio.gather(
        *(press(other, answer, "Add as task", authentication=each) for each in tokens),
        press(other, answer, "Add as task", authentication=tokens[0]),
    )
    assert all("Ben Becker" in str(each["value"]) for each in done)
    assert len(soc.case(3177).tasks) == before + 1
    assert service.count("exchange") == exchanges + 2, "one for each of the two cards"


async def test_a_click_whose_sign_in_fails_says_so_as_teams_expects_it(soc, service):
    answer, other = await shared_answer(soc)
    service.consented.discard(f"29:{BEN}")
    asked = await press(other, answer, "Add as task")
    no = await press(other, answer, "Add as task", authentication=given(other, asked["value"]))
    assert (no["statusCode"], no["type"].rpartition(".")[2]) == (412, "preconditionFailed")
    no = await press(other, answer, "Add as task", state="000000")
    assert (no["statusCode"], no["type"].rpartition(".")[2]) == (401, "incorrectAuthCode")
    yes = await press(other, answer, "Add as task", state=CODE)
    assert "Ben Becker" in str(yes["value"])


async def test_a_click_while_the_sign_in_service_is_down_gets_a_sentence(soc, service):
    answer, other = await shared_answer(soc)
    service.failing = {"GetSignInResource"}
    said = await press(other, answer, "Add as task")
    assert (said["statusCode"], "sign-in service" in said["value"]) == (200, True)


async def test_a_repeat_of_the_question_is_answered_once(soc):
    chat = ana(soc)
    question = chat.activity(text=QUESTION)
    for _ in range(2):
        assert (await chat.post(question))[0] == 202
    await soc.until(lambda: len(chat.messages) == 2)
    card = chat.messages[1].now["attachments"][0]["content"]
    for _ in range(2):
        await exchange(chat, card)
        await chat.post(question)
        await answer_of(chat)
    await settle(soc)
    assert (len(chat.messages), len(answers(chat))) == (3, 1)


async def test_all_that_waited_goes_on_in_its_order(soc):
    chat = ana(soc)
    card = await asked_to_sign_in(chat, "incident 3177")
    await asked_to_sign_in(chat, "summary")
    await exchange(chat, card)
    await answer_of(chat, 1)
    first, second = answers(chat)
    assert "Incident 3177" in str(first.card) and len(second.text) > len(first.text)


async def test_a_sign_in_that_another_replica_hears_of_counts_as_well(bot, soc):
    chat = ana(soc)
    card = await asked_to_sign_in(chat, QUESTION)
    await bot.start()
    assert (await exchange(chat, card))[0] == 200
    assert "in the order of the alerts" in (await answer_of(chat)).text
    await settle(soc)
    assert len(answers(chat)) == 1


async def test_a_bot_that_starts_anew_still_knows_what_waits(bot, soc):
    chat = ana(soc)
    card = await asked_to_sign_in(chat, QUESTION)
    await bot.stop()
    await bot.start()
    assert (await exchange(chat, card))[0] == 200
    assert "in the order of the alerts" in (await answer_of(chat)).text


async def test_what_waits_and_is_taken_up_by_mistake_waits_on(soc, tmp_path):
    chat = ana(soc)
    card = await asked_to_sign_in(chat, QUESTION)
    store = SqliteStore(str(tmp_path / "casemate.db"))
    await store.open()
    await store.release(f"sign-in {TENANT} {ANA}")
    await settle(soc)
    await store.close()
    assert len(chat.messages) == 2
    assert (await exchange(chat, card))[0] == 200
    assert "in the order of the alerts" in (await answer_of(chat)).text


async def test_what_waited_too_long_is_not_answered_any_more(soc, caplog):
    chat = ana(soc)
    card = await asked_to_sign_in(chat, QUESTION)
    await soc.clock.advance(901)
    await settle(soc)
    assert (await exchange(chat, card))[0] == 200
    await settle(soc)
    assert answers(chat) == []
    assert not [each for each in caplog.records if each.levelno > logging.INFO]
    assert "in the order of the alerts" in (await chat.ask(QUESTION)).text


async def test_in_a_channel_it_is_said_where_to_sign_in_and_the_answer_comes_there(soc, azure):
    channel = ana(soc, "channel", "19:soc@thread.tacv2;messageid=7")
    asked = await channel.ask(QUESTION)
    assert "say `sign in`" in asked.text and "attachments" not in asked.now
    await signed_in(ana(soc))
    assert "in the order of the alerts" in (await answer_of(channel)).text
    assert azure.who("/alerts") == {ANA}


async def test_a_pasted_link_says_where_to_sign_in(soc):
    chat = ana(soc)
    url = "https://security.microsoft.com/incidents/3177"
    invoke = chat.activity(type="invoke", name="composeExtension/queryLink", value={"url": url})
    status, body = await chat.post(invoke)
    assert status == 200 and "say `sign in`" in body["composeExtension"]["text"]


async def test_no_token_is_in_the_log_or_in_the_store(soc, azure, service, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    chat = await signed_in(ana(soc))
    answer = await chat.ask(QUESTION)
    await press(chat, answer, "Add as task")
    secrets = {*service.issued, teams_token(f"29:{ANA}")}
    kept = b"".join([path.read_bytes() for path in tmp_path.iterdir()])
    assert any(azure.tokens) and kept
    assert not [token for token in secrets if token in caplog.text or token.encode() in kept]


async def test_with_the_bots_own_rights_there_is_nothing_to_sign_in_to(clock, tmp_path):
    async with running(clock, tmp_path) as soc:
        for word in ("sign in", "sign out"):
            assert "nothing to sign in to" in (await ana(soc).ask(word)).text
        invoke = ana(soc).activity(type="invoke", name="signin/tokenExchange", value={})
        assert (await ana(soc).post(invoke))[0] == 400
