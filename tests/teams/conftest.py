"""The Teams edge by itself: the real edge, queue and store, strict Teams, dialogs as functions."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from app import application
from bot.domain.people import Analyst, Place
from bot.local.sqlite import SqliteStore
from bot.ports import Answered, Clicked, Clicking, Courier, Reply, Said, Unfurled
from bot.settings import Settings
from bot.teams.bot import Bot
from bot.teams.connector import Connector
from bot.teams.edge import Admission, Edge
from bot.teams.turns import Turns
from tests.clock import FakeClock
from tests.teams.identity_provider import APP_ID, TENANT, IdentityProvider
from tests.teams_double import Sent, Teams

ANALYST = "55555555-5555-4555-8555-555555555555"
BOT = "28:44444444-4444-4444-8444-444444444444"
_ids = itertools.count(1)


def activity(service_url: str, **fields: Any) -> dict[str, Any]:
    """A message as Teams sends it; None takes a field out."""
    whole = {
        "type": "message",
        "id": f"m-{next(_ids)}",
        "channelId": "msteams",
        "serviceUrl": service_url,
        "from": {"id": f"29:{ANALYST}", "aadObjectId": ANALYST, "name": "Ana Analyst"},
        "recipient": {"id": BOT, "name": "Casemate"},
        "conversation": {"id": "a:chat", "conversationType": "personal", "tenantId": TENANT},
        "channelData": {"tenant": {"id": TENANT}},
        "text": "help",
        **fields,
    }
    return {name: value for name, value in whole.items() if value is not None}


def place(service_url: str, kind: str = "personal", conversation: str = "a:chat") -> Place:
    return Place(TENANT, conversation, kind, service_url, BOT)


@dataclass
class Edges:
    """A bot over HTTP with strict Teams behind it."""

    clock: FakeClock
    teams: Teams
    http: ClientSession
    service_url: str
    database: Path
    url: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    respond: Callable[[Said, Courier], Awaitable[Answered]] | None = None
    click: Callable[[Clicked], Awaitable[Clicking]] | None = None
    unfurl: Callable[[Analyst, str], Awaitable[Unfurled]] | None = None

    def activity(self, **fields: Any) -> dict[str, Any]:
        return activity(self.service_url, **fields)

    async def post(
        self, body: Any = None, headers: dict[str, str] | None = None, **options: Any
    ) -> tuple[int, Any, dict[str, str]]:
        """POST to /api/messages: status, parsed body, headers."""
        options = options or {"json": body}
        async with self.http.post(
            f"{self.url}/api/messages", headers=headers, **options
        ) as response:
            text = await response.text()
            return response.status, await response.json() if text else None, {**response.headers}

    @property
    def messages(self) -> list[Sent]:
        return self.teams.messages()

    async def until(self, happened: Callable[[], Any], seconds: float = 400.0) -> None:
        """Let (fake) time pass in quarter seconds until something has happened."""
        await until(self.clock, happened, seconds)

    async def settled(self, seconds: float = 2.0) -> None:
        """Let a little time pass, in which something unwanted would happen."""
        end = self.clock.monotonic() + seconds
        await self.until(lambda: self.clock.monotonic() >= end)


async def until(clock: FakeClock, happened: Callable[[], Any], seconds: float = 400.0) -> None:
    end = clock.monotonic() + seconds
    while not happened():
        assert clock.monotonic() < end, "it did not happen"
        await asyncio.sleep(0.002)
        await clock.advance(0.25)


async def serve(stack: AsyncExitStack, app: web.Application) -> str:
    server = TestServer(app)
    await server.start_server()
    stack.push_async_callback(server.close)
    return str(server.make_url("")).rstrip("/")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
async def http(stack: AsyncExitStack) -> ClientSession:
    return await stack.enter_async_context(ClientSession())


@pytest.fixture
async def teams(clock: FakeClock) -> Teams:
    teams = Teams(clock)
    teams.knows("a:chat", "personal")
    teams.knows("19:group", "groupChat")
    return teams


@pytest.fixture
async def service_url(stack: AsyncExitStack, teams: Teams) -> str:
    return f"{await serve(stack, teams.app)}/"


@pytest.fixture
async def issuer(stack: AsyncExitStack) -> IdentityProvider:
    provider = IdentityProvider()
    provider.url = await serve(stack, provider.app)
    return provider


def environment(tmp_path: Path, **changes: str) -> dict[str, str]:
    """Settings whose services do not answer: `help` needs none of them."""
    nowhere = "http://127.0.0.1:9"
    return {
        "AZURE_OPENAI_BASE_URL": f"{nowhere}/openai/v1/",
        "ARM_ENDPOINT": nowhere,
        "LOG_ANALYTICS_ENDPOINT": nowhere,
        "KQL_CHECKERS": "0",
        "SENTINEL_SUBSCRIPTION_ID": TENANT,
        "SENTINEL_RESOURCE_GROUP": "soc",
        "SENTINEL_WORKSPACE": "soc-logs",
        "SENTINEL_WORKSPACE_ID": TENANT,
        "STORE_URL": f"sqlite:///{tmp_path / 'casemate.db'}",
        **changes,
    }


def authenticated(tmp_path: Path, issuer: IdentityProvider, **changes: str) -> Settings:
    """The settings of a bot with an identity, whose issuer and Entra ID are on loopback."""
    names = {
        "BOT_APP_ID": APP_ID,
        "BOT_TENANT_ID": TENANT,
        "BOT_APP_PASSWORD": "not-a-secret",
        "BOT_OPENID_METADATA": issuer.metadata_url,
        "ENTRA_AUTHORITY": issuer.url,
        **changes,
    }
    return Settings.from_env(environment(tmp_path, **names))


async def application_at(
    stack: AsyncExitStack,
    settings: Settings,
    clock: FakeClock,
    teams: Teams,
    http: ClientSession,
    service_url: str,
) -> Edges:
    """The whole application as these settings say."""
    found = Edges(clock, teams, http, service_url, Path(settings.store.path), stack=stack)
    found.url = await serve(stack, await application(settings, clock))
    return found


@pytest.fixture
async def edge(
    stack: AsyncExitStack,
    clock: FakeClock,
    teams: Teams,
    http: ClientSession,
    service_url: str,
    tmp_path: Path,
) -> Edges:
    """The edge in local mode; a test may set what `respond` and `click` do."""
    return await edges(stack, clock, teams, http, service_url, tmp_path / "edge.db")


async def edges(
    stack: AsyncExitStack,
    clock: FakeClock,
    teams: Teams,
    http: ClientSession,
    service_url: str,
    database: Path,
    *,
    read_seconds: float = 10.0,
    **limits: int,
) -> Edges:
    found = Edges(clock, teams, http, service_url, database)

    async def respond(said: Said, courier: Courier) -> Answered:
        if found.respond is not None:
            return await found.respond(said, courier)
        return Answered(Reply(f"You said {said.text}."))

    async def click(clicked: Clicked) -> Clicking:
        if found.click is not None:
            return await found.click(clicked)
        return Clicking()

    store = SqliteStore(str(database), wait=0.01)
    await store.open()
    stack.push_async_callback(store.close)
    connector = Connector(http, clock, token=None, loopback=True)

    async def unfurl(analyst: Analyst, url: str) -> Unfurled:
        if found.unfurl is not None:
            return await found.unfurl(analyst, url)
        return Unfurled()

    async def leave(place: Place) -> None:
        """Nothing is announced in these tests."""

    bot = Bot(
        connector,
        store,
        clock,
        owner="edge",
        respond=respond,
        click=click,
        unfurl=unfurl,
        leave=leave,
    )
    turns = Turns(store, clock, bot.work, owner="edge", **limits)
    turns.start()
    stack.push_async_callback(turns.stop, 1.0)
    admission = Admission(tokens=None, tenants=frozenset(), loopback=True)
    app = web.Application()
    handler = Edge(admission, bot.invoke, turns, clock, read_seconds=read_seconds)
    app.router.add_post("/api/messages", handler.messages)
    found.url = await serve(stack, app)
    return found


# a bot with an identity of its own

Start = Callable[..., Awaitable[Edges]]


@pytest.fixture
def start(
    stack: AsyncExitStack,
    clock: FakeClock,
    teams: Teams,
    http: ClientSession,
    service_url: str,
    tmp_path: Path,
    issuer: IdentityProvider,
) -> Start:
    async def start(**names: str) -> Edges:
        settings = authenticated(tmp_path, issuer, **names)
        return await application_at(stack, settings, clock, teams, http, service_url)

    return start


@pytest.fixture
async def bot(start: Start) -> Edges:
    return await start()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def kept(bot: Edges) -> int:
    """How many activities the store ever took."""
    with closing(sqlite3.connect(bot.database)) as db:
        return db.execute("SELECT count(*) FROM claims").fetchone()[0]


async def refused(bot: Edges, status: int, headers: dict[str, str], **fields: Any) -> str:
    """Post, and see that it was turned away with a sentence and left no trace."""
    got, body, answered = await bot.post(bot.activity(**fields), headers)
    assert got == status, body
    assert list(body) == ["error"]
    assert body["error"].endswith(".")
    assert "Traceback" not in body["error"]
    assert ("WWW-Authenticate" in answered) == (status == 401)
    assert kept(bot) == 0
    assert bot.teams.requests == []
    return body["error"]
