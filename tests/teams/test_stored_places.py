"""Addresses that come out of the store: our token goes to Teams', whatever was kept there."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from aiohttp import ClientSession

from bot.domain.people import Place
from bot.errors import Undelivered
from bot.local.sqlite import SqliteStore
from bot.ports import Reply
from bot.teams.activity import claim_of
from bot.teams.connector import Connector
from bot.teams.herald import TeamsHerald
from bot.wire import always
from tests.clock import FakeClock
from tests.teams.conftest import BOT, Start, activity, kept
from tests.teams.identity_provider import TENANT
from tests.teams_double import Teams


@pytest.fixture
def swapped(service_url: str) -> str:
    """An address that reaches the double and yet is not one that we call."""
    return service_url.replace("127.0.0.1", "0.0.0.0")


async def token() -> str:
    return "the-bot-s-own-token"


async def test_the_swapped_address_would_answer(http: ClientSession, swapped: str) -> None:
    async with http.get(f"{swapped}v3/conversations/x/pagedmembers") as response:
        assert response.status == 403


async def test_a_message_taken_up_after_a_restart_goes_nowhere_else(
    start: Start, service_url: str, swapped: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("swapped") / "casemate.db"
    store = SqliteStore(str(path))
    await store.open()
    clock = FakeClock()
    await store.accept(claim_of(activity(swapped, conversation=chat("a:swapped")), clock.now()))
    await store.accept(claim_of(activity(service_url), clock.now()))
    await store.close()
    bot = await start(STORE_URL=f"sqlite:///{path}")
    await bot.until(lambda: bot.messages)

    def finished() -> bool:
        with closing(sqlite3.connect(path)) as db:
            return db.execute("SELECT 1 FROM claims WHERE finished IS NULL").fetchone() is None

    await bot.until(finished)  # it is given up on, not tried again and again
    assert kept(bot) == 2
    assert {conversation for _, conversation, _ in bot.teams.requests} == {"a:chat"}


def chat(id: str) -> dict[str, str]:
    return {"id": id, "conversationType": "personal", "tenantId": TENANT}


@pytest.mark.parametrize("edit", [False, True])
async def test_an_announcement_goes_nowhere_else(
    http: ClientSession, clock: FakeClock, teams: Teams, swapped: str, edit: bool
) -> None:
    herald = TeamsHerald(Connector(http, clock, token=token, loopback=True))
    place = Place(TENANT, "19:soc", "channel", swapped, BOT)
    with pytest.raises(Undelivered) as caught:
        await (
            herald.edit(place, "a-1", Reply("x"), always)
            if edit
            else herald.post(place, Reply("x"), always)
        )
    assert caught.value.retire
    assert teams.requests == teams.tokens == []


async def test_local_mode_does_not_call_teams(http: ClientSession, clock: FakeClock) -> None:
    connector = Connector(http, clock, token=None, loopback=True, teams=False)
    with pytest.raises(Undelivered) as caught:
        await connector.post("https://smba.trafficmanager.net/emea/", "a:chat", {"type": "message"})
    assert caught.value.retire
