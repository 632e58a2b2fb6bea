"""What the replicas talk to: Sentinel, logs, a model, Teams, Cosmos DB; each with its faults."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import random
import re
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from bot.azure.cosmos_containers import CONTAINERS
from bot.clock import SystemClock
from sandbox.run import add_services, model_address, workspace
from sandbox.world import (
    Case,
    World,
    load,
)
from tests.cosmos_double import KEY, CosmosDouble
from tests.faults import FAULT, Faulty
from tests.teams_double import Teams

# Every question names itself; so does every answer of the model to it.
QUESTION = re.compile(r"\bq\d+-\d+\b")


@dataclass
class Surroundings:
    teams: Teams
    world: World
    faults: dict[str, Faulty]
    cosmos: CosmosDouble | None
    database: Path
    service_url: str
    environment: dict[str, str]

    def case(self, number: int, *, new: bool) -> Case:
        """Add an incident, the image of one of the sandbox's; `new` is of this moment."""
        case = copy.deepcopy(self._model)
        name = str(uuid.uuid5(uuid.NAMESPACE_OID, str(number)))
        case.incident = json.loads(json.dumps(case.incident).replace(case.name, name))
        case.incident["properties"]["incidentNumber"] = number
        if new:
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
            case.incident["properties"] |= {"createdTimeUtc": now, "lastModifiedTimeUtc": now}
        self.world.cases[name] = case
        return case

    @property
    def _model(self) -> Case:
        case = self.world.by_number(3177)
        assert case is not None
        return case


@asynccontextmanager
async def surrounded(store: str, folder: Path, seed: random.Random) -> AsyncIterator[Surroundings]:
    """Serve all of it on loopback; `store` is sqlite or cosmos."""
    faults = {
        name: Faulty(random.Random(seed.random()))
        for name in ("model", "sentinel", "logs", "teams", "cosmos")
    }
    faults["model"].of = lambda request: request.path.startswith("/openai/")
    faults["logs"].of = lambda request: request.path.startswith("/v1/")
    faults["sentinel"].of = lambda request: request.path.startswith("/subscriptions/")
    faults["cosmos"].of = lambda request: "/docs" in request.path
    world = await asyncio.to_thread(load, datetime.now(UTC))
    guards = [faults[name].middleware for name in ("model", "logs", "sentinel")]
    services = web.Application(middlewares=[*guards, answering(random.Random(seed.random()))])
    await asyncio.to_thread(lambda: add_services(services, world, pace=0.01))
    teams = Teams(SystemClock())
    teams.app.middlewares.append(faults["teams"].middleware)
    database = folder / "casemate.db"
    async with AsyncExitStack() as stack:
        base = str((await stack.enter_async_context(TestServer(services))).make_url("/"))
        url = str((await stack.enter_async_context(TestServer(teams.app))).make_url("/"))
        kept = {"STORE_URL": f"sqlite:///{database}"}
        cosmos = None
        if store == "cosmos":
            cosmos = CosmosDouble([each.resource for each in CONTAINERS])
            await stack.enter_async_context(cosmos.running(faults["cosmos"].middleware))
            kept = {"STORE_URL": cosmos.url, "COSMOS_KEY": KEY}
        environment = {
            "PATH": os.environ["PATH"],
            **workspace(base.rstrip("/")),
            **model_address(base.rstrip("/")),
            "KQL_CHECKERS": "0",
            "POLL_SECONDS": "15",
            "ENRICH": "off",
            **kept,
        }
        yield Surroundings(teams, world, faults, cosmos, database, url, environment)


def answering(seed: random.Random) -> Any:
    """Answer a question that names itself by its name, in pieces; leave the rest to the sandbox."""

    @web.middleware
    async def answer(request: web.Request, handler: Any) -> web.StreamResponse:
        if not request.path.endswith("/chat/completions"):
            return await handler(request)
        body = await request.json()
        asked = QUESTION.findall(json.dumps(body["messages"]))
        if not body.get("stream") or not asked:
            return await handler(request)
        last = QUESTION.findall(json.dumps(body["messages"][-1]))
        cut = request.get(FAULT) == "half answer"
        return await _stream(request, f"About {(last or asked)[-1]}.", seed.uniform(0.02, 0.3), cut)

    return answer


async def _stream(request: web.Request, opening: str, pace: float, cut: bool) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    texts = [opening, *(f" Finding {n} is in the evidence [{n}]." for n in range(1, 9))]
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "soak"}
    for text in texts[:4] if cut else texts:
        choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
        await response.write(_event({**head, "choices": [choice]}))
        await asyncio.sleep(pace)
    if not cut:
        end = {"index": 0, "delta": {}, "finish_reason": "stop"}
        await response.write(_event({**head, "choices": [end]}))
        usage = {"prompt_tokens": 900, "completion_tokens": 90, "total_tokens": 990}
        await response.write(_event({**head, "choices": [], "usage": usage}))
        await response.write(b"data: [DONE]\n\n")
    return response


def _event(body: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"
