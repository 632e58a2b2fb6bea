"""What waits for a sign-in, as the store sees it: kept once, nobody's until then, put back once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from bot.domain.lease import SKEW
from bot.local.sqlite import SqliteStore
from bot.ports import Claim
from bot.teams.analyst_tokens import AnalystTokens
from bot.teams.connector import Connector
from bot.teams.sign_in import WAIT, SignIn
from bot.teams.token_service import TokenService
from tests.clock import FakeClock
from tests.token_service_double import CONNECTION
from tests.token_service_double import TokenService as Double

CHAT, OWNER, LEASE = "a:chat", "replica-1", timedelta(seconds=9)
ACTIVITY = {
    "type": "message",
    "id": "m-1",
    "from": {"id": "29:ana", "aadObjectId": "ana", "name": "Ana"},
    "conversation": {"id": CHAT, "tenantId": "contoso"},
    "text": "what happened?",
}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(str(tmp_path / "casemate.db"))
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def double(clock: FakeClock) -> Double:
    return Double(clock)


@pytest.fixture
async def sign_in(clock: FakeClock, store: SqliteStore, double: Double) -> AsyncIterator[SignIn]:
    async with TestServer(double.app) as server, aiohttp.ClientSession() as session:
        url = str(server.make_url("")).rstrip("/")
        tokens = AnalystTokens(TokenService(session, clock, url, CONNECTION, None, ""), clock)
        connector = Connector(session, clock, token=None, loopback=True)
        yield SignIn(tokens, connector, store, clock, owner=OWNER)


@pytest.fixture
def asked(clock: FakeClock) -> Claim:
    return Claim("a:chat/m-1", CHAT, ACTIVITY, clock.now())


async def taken_up(store: SqliteStore, clock: FakeClock) -> Claim:
    [conversation] = await store.waiting(clock.now(), LEASE)
    claim = await store.take(conversation, OWNER, clock.now(), LEASE)
    assert claim is not None
    return claim


async def test_what_waits_is_kept_once_and_nobody_takes_it_up(sign_in, store, clock, asked):
    for _ in range(2):
        await sign_in.keep_waiting(asked)
    assert await store.backlog() == 1
    await clock.advance((WAIT - timedelta(seconds=1)).total_seconds())
    assert await store.waiting(clock.now(), LEASE) == ()


async def test_it_goes_on_once_in_its_own_conversation(sign_in, store, clock, double, asked):
    await sign_in.keep_waiting(asked)
    double.signed_in["29:ana"] = "ana"
    await store.release("sign-in contoso ana")
    waiting = await taken_up(store, clock)
    assert sign_in.waits(waiting) and not sign_in.waits(asked)
    for _ in range(2):  # as after a crash before it was marked done
        assert await sign_in.go_on(waiting)
        await clock.advance(1)
    await store.finish(waiting.key, OWNER, clock.now())
    again = await taken_up(store, clock)
    assert (again.conversation, again.body) == (CHAT, ACTIVITY)
    await store.finish(again.key, OWNER, clock.now())
    assert await store.backlog() == 0


async def test_after_a_quarter_of_an_hour_it_is_dropped_unasked(
    sign_in, store, clock, double, asked
):
    await sign_in.keep_waiting(asked)
    await clock.advance((WAIT + SKEW).total_seconds())
    waiting = await taken_up(store, clock)
    assert await sign_in.go_on(waiting), "it is done with"
    assert await store.backlog() == 1 and double.calls == []


async def test_a_sign_in_releases_what_is_its_own(sign_in, store, clock, double, asked):
    other = {**ACTIVITY, "id": "m-2", "from": {"id": "29:ben", "aadObjectId": "ben"}}
    await sign_in.keep_waiting(asked)
    await sign_in.keep_waiting(Claim("a:chat/m-2", CHAT, other, clock.now()))
    double.consented.add("29:ana")
    value = {"id": "x", "connectionName": CONNECTION, "token": "teams-token-of-29:ana"}
    body = {**ACTIVITY, "type": "invoke", "name": "signin/tokenExchange"}
    assert (await sign_in.invoked(body, value))[0] == 200
    assert (await taken_up(store, clock)).key == "a:chat/m-1/waits"
