"""Asking the Bot Framework's token service, whatever it answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bot.domain.people import Analyst
from bot.errors import CasemateError, SignInNeeded
from bot.teams.analyst_tokens import AnalystTokens
from bot.teams.token_service import TokenService
from tests.clock import ImpatientClock
from tests.token_service_double import CONNECTION
from tests.token_service_double import TokenService as Double

BOT_TOKEN = "the-bots-own-token"
APP = "44444444-4444-4444-8444-444444444444"
ANA = Analyst("contoso", "55555555-5555-4555-8555-555555555555", "Ana", "29:ana")
REFERENCE = {
    "user": {"id": "29:ana"},
    "bot": {"id": "28:bot"},
    "conversation": {"id": "a:1"},
    "channelId": "msteams",
}


async def bot_token() -> str:
    return BOT_TOKEN


@pytest.fixture
def clock() -> ImpatientClock:
    return ImpatientClock()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def test_every_request_carries_the_bots_own_token(session, clock):
    double = Double(clock, bot_token=BOT_TOKEN, app_id=APP)
    double.signed_in["29:ana"] = ANA.id
    async with TestServer(double.app) as server:
        url = str(server.make_url("")).rstrip("/")
        service = TokenService(session, clock, url, CONNECTION, bot_token, APP)
        resource = await service.sign_in(REFERENCE)
        got = await service.get("29:ana")
        assert await service.exchange("29:ana", "teams-token-of-29:ana") is None
        await service.sign_out("29:ana")
        assert await service.get("29:ana") is None
    assert double.violations == []
    assert got is not None and got.token in double.issued
    assert got.token not in repr(got) and resource.link not in repr(resource)
    assert (double.count("GetToken"), double.count("SignOut")) == (2, 1)


async def test_a_bot_that_the_service_does_not_know_gets_a_sentence(session, clock):
    double = Double(clock, bot_token="another", app_id=APP)
    async with TestServer(double.app) as server:
        url = str(server.make_url("")).rstrip("/")
        service = TokenService(session, clock, url, CONNECTION, bot_token, APP)
        for call in (service.get("29:ana"), service.sign_out("29:ana")):
            with pytest.raises(CasemateError, match="sign-in service") as caught:
                await call
            assert BOT_TOKEN not in f"{caught.value!r} {caught.value.__cause__!r}"


class Saying:
    """A service that answers everything with what a test wants."""

    def __init__(self, status: int, body: Any) -> None:
        self.status, self.body, self.asked = status, body, 0
        self.app = web.Application()
        self.app.router.add_route("*", "/{any:.*}", self._answer)

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked += 1
        if isinstance(self.body, str):
            return web.Response(status=self.status, text=self.body)
        return web.json_response(self.body, status=self.status)


ENDS = "2026-11-24T09:05:00"


@pytest.mark.parametrize(
    ("expiration", "lasts"),
    [
        (f"{ENDS}Z", 300),
        (ENDS, 300),
        (f"{ENDS}.1234567Z", 300),
        ("2026-11-24T10:00:00Z", 600),
        ("soon", 600),
        (None, 600),
        (5, 600),
    ],
)
async def test_a_token_lasts_as_long_as_is_said_and_ten_minutes_at_most(
    session, clock, expiration, lasts
):
    said = Saying(200, {"token": "t", "expiration": expiration})
    async with TestServer(said.app) as server:
        service = TokenService(session, clock, str(server.make_url("")), CONNECTION, None, "")
        got = await service.get("29:ana")
    assert got is not None
    assert int(got.expires_on - clock.now().timestamp()) == lasts


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, "<html>"), (200, []), (200, {}), (200, {"token": 5}), (500, {}), (302, {}), (403, {})],
)
async def test_what_is_no_answer_is_a_sentence(session, clock, status, body):
    async with TestServer(Saying(status, body).app) as server:
        service = TokenService(session, clock, str(server.make_url("")), CONNECTION, None, "")
        calls = [service.get("29:ana"), service.exchange("29:ana", "t"), service.sign_in(REFERENCE)]
        for call in calls:
            with pytest.raises(CasemateError, match="sign-in service"):
                await call


@pytest.mark.parametrize("link", ["javascript:alert(1)", "http://evil.example/", 7, None])
async def test_a_link_that_is_none_is_not_shown(session, clock, link):
    async with TestServer(Saying(200, {"signInLink": link}).app) as server:
        service = TokenService(session, clock, str(server.make_url("")), CONNECTION, None, "")
        with pytest.raises(CasemateError, match="sign-in service"):
            await service.sign_in(REFERENCE)


async def test_a_sign_in_without_single_sign_on_has_its_link(session, clock):
    link = {"signInLink": "https://token.botframework.com/x", "tokenExchangeResource": None}
    async with TestServer(Saying(200, link).app) as server:
        service = TokenService(session, clock, str(server.make_url("")), CONNECTION, None, "")
        resource = await service.sign_in(REFERENCE)
    assert (resource.link, resource.exchange) == (link["signInLink"], None)


async def test_nobody_there_is_a_sentence(session, clock, unused_tcp_port):
    url = f"http://127.0.0.1:{unused_tcp_port}"
    with pytest.raises(CasemateError, match="sign-in service"):
        await TokenService(session, clock, url, CONNECTION, None, "").get("29:ana")


# --- keeping them --------------------------------------------------------------------------------


async def test_requests_at_once_ask_once_and_the_token_is_kept(session, clock):
    said = Saying(200, {"token": "opaque"})
    async with TestServer(said.app) as server:
        service = TokenService(session, clock, str(server.make_url("")), CONNECTION, None, "")
        tokens = AnalystTokens(service, clock)
        assert set(await asyncio.gather(*(tokens.token(ANA) for _ in range(9)))) == {"opaque"}
        assert (await tokens.token(ANA), said.asked) == ("opaque", 1)
        await tokens.sign_out(ANA)
        said.status = 404
        with pytest.raises(SignInNeeded, match="say `sign in`"):
            await tokens.token(ANA)


@pytest.mark.parametrize("token", ["opaque", "a.b.c", "..", "e30.W10.x", "e30.eyJvaWQiOjV9.x"])
async def test_a_token_that_names_nobody_is_taken_as_the_service_gave_it(session, clock, token):
    async with TestServer(Saying(200, {"token": token}).app) as server:
        service = TokenService(session, clock, str(server.make_url("")), CONNECTION, None, "")
        assert await AnalystTokens(service, clock).token(ANA) == token


async def test_tokens_of_a_thousand_analysts_are_kept_and_no_more(session, clock):
    said = Saying(200, {"token": "opaque"})
    async with TestServer(said.app) as server:
        service = TokenService(session, clock, str(server.make_url("")), CONNECTION, None, "")
        tokens = AnalystTokens(service, clock)
        for number in range(1001):
            await tokens.token(Analyst("contoso", str(number), "x", str(number)))
        said.asked = 0
        await tokens.token(Analyst("contoso", "1000", "x", "1000"))
        assert said.asked == 0
        await tokens.token(Analyst("contoso", "0", "x", "0"))
        assert said.asked == 1
