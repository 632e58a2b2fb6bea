"""What the replicas talk to: Sentinel, logs, a model, Teams, sign-ins, Cosmos DB, with faults."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import random
import re
import time
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
from tests.teams.identity_provider import APP_ID, BOT_TOKEN, TENANT, IdentityProvider
from tests.teams_double import Teams
from tests.token_service_double import CONNECTION, Azure, TokenService

# Every question names itself; so does every answer of the model to it.
QUESTION = re.compile(r"\bq\d+-\d+\b")
SERVICES = ("model", "sentinel", "logs", "teams", "sign-in", "entra")
# Short, so that they are asked for all the time.
TOKEN_SECONDS, ENTRA_SECONDS = 120, 20
PLAYBOOK = "66666666-6666-4666-8666-666666666666"
_KQL = "SigninLogs | where TimeGenerated > ago(7d) | project TimeGenerated, IPAddress | take 5"
_USAGE = {"prompt_tokens": 900, "completion_tokens": 90, "total_tokens": 990}


@dataclass
class Surroundings:
    teams: Teams
    world: World
    faults: dict[str, Faulty]
    sign_ins: TokenService
    azure: Azure
    cosmos: CosmosDouble | None
    database: Path
    service_url: str
    tokens: dict[str, str]
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
        for name in (*SERVICES, *(["cosmos"] if store == "cosmos" else []))
    }
    faults["model"].of = lambda request: request.path.startswith("/openai/")
    faults["logs"].of = lambda request: request.path.startswith("/v1/")
    faults["sentinel"].of = lambda request: request.path.startswith("/subscriptions/")
    if store == "cosmos":
        faults["cosmos"].of = lambda request: "/docs" in request.path
    world = await asyncio.to_thread(load, datetime.now(UTC))
    guards = [faults[name].middleware for name in ("model", "logs", "sentinel")]
    entra = IdentityProvider()
    entra.lifetime = ENTRA_SECONDS
    entra.app.middlewares.append(faults["entra"].middleware)
    sign_ins = TokenService(SystemClock(), bot_token=BOT_TOKEN, app_id=APP_ID)
    sign_ins.lifetime = TOKEN_SECONDS
    sign_ins.app.middlewares.append(faults["sign-in"].middleware)
    azure = Azure(sign_ins)
    dice = random.Random(seed.random())
    services = web.Application(middlewares=[*guards, azure.guard, answering(dice)])
    await asyncio.to_thread(lambda: add_services(services, world, pace=0.01))
    teams = Teams(SystemClock())
    teams.app.middlewares.append(faults["teams"].middleware)
    database = folder / "casemate.db"
    async with AsyncExitStack() as stack:
        base = str((await stack.enter_async_context(TestServer(services))).make_url("/"))
        url = str((await stack.enter_async_context(TestServer(teams.app))).make_url("/"))
        kept = {"STORE_URL": f"sqlite:///{database}"}
        signing = str((await stack.enter_async_context(TestServer(sign_ins.app))).make_url(""))
        entra.url = str((await stack.enter_async_context(TestServer(entra.app))).make_url(""))
        entra.url = entra.url.rstrip("/")
        cosmos = None
        if store == "cosmos":
            cosmos = CosmosDouble([each.resource for each in CONTAINERS])
            await stack.enter_async_context(cosmos.running(faults["cosmos"].middleware))
            kept = {"STORE_URL": cosmos.url, "COSMOS_KEY": KEY}
        environment = {
            "PATH": os.environ["PATH"],
            **workspace(base.rstrip("/")),
            **model_address(base.rstrip("/")),
            "AZURE_OPENAI_API_KEY": "not-a-secret",
            "KQL_CHECKERS": "0",
            "POLL_SECONDS": "15",
            "ENRICH": "off",
            **identity(entra),
            "WRITE_AS": "analyst",
            "OAUTH_CONNECTION": CONNECTION,
            "TOKEN_SERVICE": signing,
            **kept,
        }
        yield Surroundings(
            teams,
            world,
            faults,
            sign_ins,
            azure,
            cosmos,
            database,
            url,
            tokens(entra, url),
            environment,
        )


def identity(entra: IdentityProvider) -> dict[str, str]:
    """A registered bot, whose Bot Framework and Entra ID are `entra`."""
    return {
        "HOST": "127.0.0.1",
        "BOT_APP_ID": APP_ID,
        "BOT_APP_PASSWORD": "not-a-secret",
        "BOT_TENANT_ID": TENANT,
        "BOT_OPENID_METADATA": entra.metadata_url,
        "ENTRA_AUTHORITY": entra.url,
        "INCIDENT_WEBHOOK_AUDIENCE": f"api://{APP_ID}",
        "INCIDENT_WEBHOOK_CALLERS": PLAYBOOK,
    }


def tokens(entra: IdentityProvider, service_url: str) -> dict[str, str]:
    """What Teams and a playbook show to the bot, by the path they post to; good for a day."""
    ends = int(time.time()) + 86_400
    playbook = entra.token(
        "",
        exp=ends,
        iss=f"https://sts.windows.net/{TENANT}/",
        aud=f"api://{APP_ID}",
        serviceurl=None,
        **{"ver": "1.0", "tid": TENANT, "oid": PLAYBOOK, "sub": PLAYBOOK, "idtyp": "app"},
        appid=PLAYBOOK,
    )
    return {"/api/messages": entra.token(service_url, exp=ends), "/api/incidents": playbook}


def answering(seed: random.Random) -> Any:
    """Answer a question that names itself by its name, in pieces; leave the rest to the sandbox."""

    @web.middleware
    async def answer(request: web.Request, handler: Any) -> web.StreamResponse:
        if not request.path.endswith("/chat/completions"):
            return await handler(request)
        body = await request.json()
        asked = [QUESTION.findall(str(each["content"])) for each in body["messages"]]
        if not any(asked):
            return await handler(request)
        opening = f"About {next(filter(None, reversed(asked)))[-1]}."
        if not body.get("stream"):
            return _whole({"query": _KQL, "explanation": opening, "assumptions": []})
        return await _stream(request, opening, seed.uniform(0.02, 0.3))

    return answer


def _whole(said: dict[str, Any]) -> web.Response:
    message = {"role": "assistant", "content": json.dumps(said)}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    head = {"id": "c", "object": "chat.completion", "created": 1, "model": "soak"}
    return web.json_response({**head, "choices": [choice], "usage": _USAGE})


async def _stream(request: web.Request, opening: str, pace: float) -> web.StreamResponse:
    """Say it in pieces; what goes wrong with a stream goes wrong here."""
    fault = request.get(FAULT)
    cut = fault == "half answer"
    pace += 0.25 if fault == "slow body" else 0.0
    kind = "text/html" if fault == "wrong type" else "text/event-stream"
    response = web.StreamResponse(headers={"Content-Type": kind})
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
        await response.write(_event({**head, "choices": [], "usage": _USAGE}))
        await response.write(b"data: [DONE]\n\n")
    return response


def _event(body: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"
