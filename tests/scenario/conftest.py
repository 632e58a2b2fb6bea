"""The whole application over HTTP: the sandbox's services behind it, strict Teams before it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from app import application
from bot.settings import Settings
from sandbox.logs.workspace import Logs, load_logs
from sandbox.run import add_services, model_address, workspace
from sandbox.world import (
    Case,
    World,
    load,
)
from tests.clock import FakeClock
from tests.teams_double import Sent, Teams

TENANT = "33333333-3333-4333-8333-333333333333"
BOT = "28:44444444-4444-4444-8444-444444444444"
_ids = itertools.count(1)


@dataclass
class Chat:
    """One conversation with the bot as one of its members sees it."""

    soc: Soc
    conversation: str
    kind: str = "personal"
    name: str = "Ana Analyst"
    analyst: str = "55555555-5555-4555-8555-555555555555"

    def activity(self, **fields: Any) -> dict[str, Any]:
        return {
            "type": "message",
            "id": f"m-{next(_ids)}",
            "channelId": "msteams",
            "serviceUrl": self.soc.service_url,
            "from": {"id": f"29:{self.analyst}", "aadObjectId": self.analyst, "name": self.name},
            "recipient": {"id": BOT, "name": "Casemate"},
            "conversation": {
                "id": self.conversation,
                "conversationType": self.kind,
                "tenantId": TENANT,
                "isGroup": self.kind != "personal",
            },
            "channelData": {"tenant": {"id": TENANT}},
            **fields,
        }

    async def post(self, activity: dict[str, Any]) -> tuple[int, Any]:
        url = f"{self.soc.bot_url}/api/messages"
        async with self.soc.http.post(url, json=activity) as response:
            text = await response.text()
            return response.status, await response.json() if text else None

    async def say(self, text: str, **fields: Any) -> None:
        status, _ = await self.post(self.activity(text=text, **fields))
        assert status == 202

    async def ask(self, text: str) -> Sent:
        """Say something and wait for the next message in this conversation."""
        before = len(self.messages)
        await self.say(text)
        await self.soc.until(lambda: len(self.messages) > before and self.soc.quiet)
        return self.messages[-1]

    @property
    def messages(self) -> list[Sent]:
        return self.soc.teams.messages(self.conversation)

    async def click(self, message: Sent, title: str, **fields: Any) -> dict[str, Any]:
        """Press a button of a card as a client does, and show the card that comes back."""
        action = find_button(message.card, title)
        assert action is not None, f"there is no button {title!r}"
        invoke = self.activity(
            type="invoke",
            name="adaptiveCard/action",
            replyToId=message.id,
            value={
                "action": {
                    "type": "Action.Execute",
                    "verb": action["verb"],
                    "data": action["data"],
                },
                "trigger": "manual",
            },
            **fields,
        )
        status, body = await self.post(invoke)
        assert status == 200, body
        return body

    async def press(self, message: Sent, title: str, **inputs: str) -> Sent:
        """Press a button that sends a message, with what was typed, and wait for the answer."""
        action = find_button(message.card, title, "Action.Submit")
        assert action is not None, f"there is no button {title!r}"
        return await self.submit({**action["data"], **inputs}, replyToId=message.id)

    async def submit(self, data: dict[str, Any], **fields: Any) -> Sent:
        before = len(self.messages)
        status, _ = await self.post(self.activity(value=data, **fields))
        assert status == 202
        await self.soc.until(lambda: len(self.messages) > before and self.soc.quiet)
        return self.messages[-1]


def find_button(card: Any, title: str, kind: str = "Action.Execute") -> dict[str, Any] | None:
    """Find a card's button by its title, wherever it stands."""
    if isinstance(card, dict):
        if card.get("type") == kind and card.get("title") == title:
            return card
        return next(filter(None, (find_button(v, title, kind) for v in card.values())), None)
    if isinstance(card, list):
        return next(filter(None, (find_button(each, title, kind) for each in card)), None)
    return None


@dataclass
class Soc:
    """A bot, its services and its Teams."""

    teams: Teams
    world: World
    clock: FakeClock
    http: ClientSession
    service_url: str
    bot_url: str = ""
    quiet_calls: list[Callable[[], bool]] = field(default_factory=list)

    def chat(self, kind: str = "personal", conversation: str = "", **fields: Any) -> Chat:
        id = conversation or f"{'a' if kind == 'personal' else '19'}:chat-{next(_ids)}"
        self.teams.knows(id, kind)
        return Chat(self, id, kind, **fields)

    def case(self, number: int) -> Case:
        case = self.world.by_number(number)
        assert case is not None
        return case

    @property
    def quiet(self) -> bool:
        """Nothing is being streamed any more."""
        return not any(sent.stream_open for sent in self.teams.sent.values())

    async def until(self, happened: Callable[[], Any], seconds: float = 400.0) -> None:
        """Let (fake) time pass in quarter seconds until something has happened."""
        end = self.clock.monotonic() + seconds
        while not happened():
            assert self.clock.monotonic() < end, "it did not happen"
            await asyncio.sleep(0.002)
            await self.clock.advance(0.25)

    def writes(self) -> list[tuple[str, str]]:
        """The writes that Sentinel saw: method and path."""
        return [(entry.method, entry.path) for entry in self.world.log if entry.method == "PUT"]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def soc(clock: FakeClock, tmp_path: Path) -> AsyncIterator[Soc]:
    async with running(clock, tmp_path) as soc:
        yield soc


@cache
def sample_logs() -> Logs:
    """The sandbox's logs at the time at which every fake clock starts; they take a second."""
    now = FakeClock().now()
    return load_logs(now, load(now))


class running:
    """Start everything; the bot alone can be stopped and started again.

    `settings` stand in for the sandbox's own, as AZURE_OPENAI_BASE_URL for another model; `guard`
    is a middleware before the sandbox's services.
    """

    def __init__(
        self, clock: FakeClock, folder: Path, *, guard: Any = None, **settings: str
    ) -> None:
        self._clock = clock
        self._guard = guard
        self._folder = folder
        self._settings = settings
        self._servers: list[TestServer] = []

    async def __aenter__(self) -> Soc:
        world = await asyncio.to_thread(load, self._clock.now(), None, self._clock.now)
        services = web.Application(middlewares=[self._guard] if self._guard else [])
        logs = replace(await asyncio.to_thread(sample_logs), now=self._clock.now)
        await asyncio.to_thread(lambda: add_services(services, world, logs, pace=0.002))
        teams = Teams(self._clock)
        services_url = await self.serve(services)
        world.portal_url = services_url
        teams_url = await self.serve(teams.app)
        self.soc = Soc(teams, world, self._clock, ClientSession(), f"{teams_url}/")
        self.settings = Settings.from_env(
            {
                **workspace(services_url),
                **model_address(services_url),
                "AZURE_OPENAI_MODEL": "sandbox",
                "KQL_CHECKERS": "0",
                "STORE_URL": f"sqlite:///{self._folder / 'casemate.db'}",
                **self._settings,
            }
        )
        await self.start()
        return self.soc

    async def start(self) -> None:
        app = await application(self.settings, self._clock)
        self.soc.bot_url = await self.serve(app)
        self.soc.world.playbook_url = f"{self.soc.bot_url}/api/incidents"

    async def stop(self) -> None:
        """Stop the bot that was started last, as SIGTERM does."""
        await self._servers.pop().close()

    async def serve(self, app: web.Application) -> str:
        server = TestServer(app)
        await server.start_server()
        self._servers.append(server)
        return str(server.make_url("")).rstrip("/")

    async def __aexit__(self, *_: object) -> None:
        for server in reversed(self._servers):
            await server.close()
        await self.soc.http.close()


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)
