"""A second workspace behind the same Azure: the image of the sandbox's, GUIDs and numbers alike."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from sandbox import sentinel
from sandbox.world import RESOURCE_GROUP, SUBSCRIPTION, WORKSPACE, WORKSPACE_ID, Case, World, load
from tests.azure.log_analytics_double import table
from tests.clock import FakeClock
from tests.scenario.conftest import Soc, running

OTHER, OTHER_ID = "fabrikam-soc", "99999999-2222-4222-8222-222222222222"
HERE = {
    "name": "contoso",
    "subscription_id": SUBSCRIPTION,
    "resource_group": RESOURCE_GROUP,
    "workspace": WORKSPACE,
    "workspace_id": WORKSPACE_ID,
}
THERE = {**HERE, "name": "fabrikam", "workspace": OTHER, "workspace_id": OTHER_ID}
METADATA = {
    "tables": [
        {
            "name": "FabrikamOnly_CL",
            "columns": [
                {"name": "TimeGenerated", "type": "datetime"},
                {"name": "Doors", "type": "string"},
            ],
        }
    ]
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Second:
    """The other workspace's incidents, and what was asked of its logs; `down` answers nothing."""

    world: World
    queries: list[str] = field(default_factory=list)
    down: bool = False

    def case(self, number: int) -> Case:
        case = self.world.by_number(number)
        assert case is not None
        return case

    @web.middleware
    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        ours = f"/workspaces/{OTHER}" in request.path, OTHER_ID in request.path
        if not any(ours):
            return await handler(request)
        if self.down:
            return web.json_response({}, status=503)
        if ours[0]:
            serve = sentinel.routes(self.world)[0].handler
            path = str(request.rel_url).replace(f"/workspaces/{OTHER}", f"/workspaces/{WORKSPACE}")
            return await serve(request.clone(rel_url=path))
        if request.path.endswith("/metadata"):
            return web.json_response(METADATA)
        self.queries.append((await request.json())["query"])
        rows = [["the back door"]] if "FabrikamOnly_CL" in self.queries[-1] else []
        return web.json_response(table({"Doors": "string"}, *rows))


@asynccontextmanager
async def two(
    clock: FakeClock, folder: Path, *, guard: Any = None, **settings: str
) -> AsyncIterator[tuple[Soc, Second]]:
    """A bot that serves both; `guard` comes before both."""
    second = Second(await asyncio.to_thread(load, clock.now(), None, clock.now))
    for case in second.world.cases.values():
        properties = case.incident["properties"]
        properties["title"] = f"Fabrikam: {properties['title']}"

    @web.middleware
    async def before(request: web.Request, handler: Handler) -> web.StreamResponse:
        async def inner(request: web.Request) -> web.StreamResponse:
            return await second.guard(request, handler)

        return await (guard(request, inner) if guard else inner(request))

    both = json.dumps([HERE, THERE])
    async with running(
        clock, folder, guard=before, SENTINEL_WORKSPACES=both, **{"POLL_SECONDS": "0", **settings}
    ) as soc:
        yield soc, second
