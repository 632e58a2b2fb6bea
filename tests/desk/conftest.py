"""A desk with everything real behind it: the store, and the sandbox's Sentinel over HTTP."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

import prompts
from bot.azure.log_analytics import LogAnalytics
from bot.azure.openai import AzureChatModel
from bot.azure.sentinel import Sentinel
from bot.desk.allowance import Allowance
from bot.desk.casefile import CaseFiles
from bot.desk.desk import Desk
from bot.domain.incident import IncidentRef, Workspace
from bot.domain.limits import Limits
from bot.domain.people import Analyst, Place
from bot.domain.proposal import Item, Proposal, Provenance
from bot.kusto.checker import Checker
from bot.kusto.schema import Schema
from bot.local.sqlite import SqliteStore
from bot.ports import Clicked, Said
from prompts.playbook import playbook
from sandbox import sentinel
from sandbox.world import RESOURCE_GROUP, SUBSCRIPTION, WORKSPACE, WORKSPACE_ID, Case, World, load
from tests.azure.model_double import ModelDouble, whole
from tests.clock import ImpatientClock
from tests.counting import estimate

ANA = Analyst("contoso", "u-ana", "Ana Analyst")
BEN = Analyst("contoso", "u-ben", "Ben Becker")
CHAT = Place("contoso", "19:chat", "groupChat", "https://smba.trafficmanager.net/emea/")


@dataclass
class Room:
    """A desk, and what stands behind it."""

    desk: Desk
    world: World
    clock: ImpatientClock
    model: ModelDouble

    def case(self, number: int = 3177) -> Case:
        case = self.world.by_number(number)
        assert case is not None
        return case

    def ref(self, number: int = 3177) -> IncidentRef:
        return self.desk.ref(self.case(number).name)

    def calls(self) -> Counter[str]:
        """What Sentinel was asked for so far, as `GET tasks`."""
        return Counter(f"{each.method} {kind(each.path)}" for each in self.world.log)

    async def propose(self, *items: Item, id: str = "p-1", **fields: Any) -> Proposal:
        proposal = Proposal(
            id=id,
            kind="tasks" if len(items) > 1 else "answer",
            tenant=ANA.tenant,
            conversation=CHAT.conversation,
            incident=self.ref(),
            incident_number=3177,
            items=items,
            provenance=Provenance(
                ANA.name, "what happened?", "gpt-5.4-mini", "0123456789ab", ("alert/a", "alert/b")
            ),
            created=self.clock.now(),
        )
        proposal = replace(proposal, **fields)
        await self.desk.store.keep_proposal(proposal)
        return proposal

    def clicked(self, by: Analyst = ANA, later: timedelta = timedelta(0), **place: str) -> Clicked:
        return Clicked(by, replace(CHAT, **place), {}, self.clock.now() + later)

    def said(self, text: str) -> Said:
        return Said("m-1", ANA, CHAT, text, self.clock.now())


def kind(path: str) -> str:
    """The last named thing in a path: `incidents`, `tasks`, ..."""
    names = path.lower().rsplit("/incidents", 1)[1].strip("/").split("/")
    return names[1] if len(names) > 1 else "incident"


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    clock = ImpatientClock()
    world = await asyncio.to_thread(load, clock.now(), None, clock.now)
    double = ModelDouble(whole("{}"))
    app = web.Application()
    app.add_routes(sentinel.routes(world))
    app.add_subapp("/model", double.app())
    store = SqliteStore(str(tmp_path / "casemate.db"))
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        url = str(server.make_url("")).rstrip("/")
        workspace = Workspace("soc", SUBSCRIPTION, RESOURCE_GROUP, WORKSPACE, WORKSPACE_ID)
        incidents = Sentinel(session, workspace, url, None, clock)
        model = AzureChatModel(f"{url}/model/openai/v1/", "gpt-5.4-mini", None, clock)
        await store.open()
        logs = LogAnalytics(session, workspace, url, None, clock)
        desk = Desk(
            workspace=workspace,
            incidents=incidents,
            cases=CaseFiles(incidents, clock),
            model=model,
            logs=logs,
            schema=Schema(logs, store, workspace.name, clock),
            checker=Checker(size=0),
            store=store,
            outbox=store.outbox,
            clock=clock,
            lease_time=clock.now,
            prompts=await asyncio.to_thread(prompts.load),
            playbook=await asyncio.to_thread(playbook),
            count=estimate,
            allowance=Allowance(Limits(), store, clock, estimate),
        )
        yield Room(desk, world, clock, double)
        await model.close()
        await store.close()
