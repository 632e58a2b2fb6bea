"""`POST /incidents`: a new incident arrives, as when an analytics rule has found something.

It is on the workspace's list and in its logs, and then an automation rule runs a playbook that
posts it to the bot. The stories are told in turn, from `arriving/*.yaml`, with what the logs hold
of each in `logs/arriving`; both are written as the files of the other incidents are.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
from aiohttp import web

from prompts.reading import read_yaml

from .cases import (
    RESOURCE_GROUP,
    SUBSCRIPTION,
    WORKSPACE,
    WORKSPACE_ID,
    Case,
    JsonObject,
    from_yaml,
    guid,
)
from .logs.workspace import Logs, add_rows
from .world import World

_HERE = Path(__file__).parent
_WAIT = aiohttp.ClientTimeout(total=10)


def routes(world: World, logs: Logs) -> list[web.RouteDef]:
    """Give the route; what it adds is for as long as this process runs.

    Reads the stories, so call it before the loop serves or in a thread.
    """
    stories = [
        (_read(path), _read(_HERE / "logs" / "arriving" / path.name))
        for path in sorted((_HERE / "arriving").glob("*.yaml"))
    ]

    async def arrive(request: web.Request) -> web.Response:
        if _is_from_elsewhere(request):
            return web.Response(status=403, text="Only the sandbox's own pages may do this.\n")
        number = max(case.number for case in world.cases.values()) + 1
        story, batches = stories[number % len(stories)]
        case = from_yaml({**story, "number": number}, world.now(), world.etag)
        world.cases[case.name] = case
        await asyncio.to_thread(add_rows, logs, world, case, batches)
        told = await _run_playbook(world, case)
        return web.Response(
            status=303,
            headers={"Location": f"incidents/{number}"},
            text=f"Incident {number}: {world.link(case)}\n{told}\n",
        )

    return [web.post("/incidents", arrive)]


def trigger_body(world: World, case: Case) -> JsonObject:
    """What the Sentinel incident trigger of Logic Apps gives a playbook when one is created."""
    shown = world.show(case)
    parts = {
        "alerts": case.alerts,
        "bookmarks": case.bookmarks,
        "relatedEntities": case.entities,
        "comments": list(case.comments.values()),
    }
    return {
        "eventUniqueId": guid(f"{case.number}/created"),
        "objectSchemaType": "Incident",
        "objectEventType": "Create",
        "workspaceInfo": {
            "SubscriptionId": SUBSCRIPTION,
            "ResourceGroupName": RESOURCE_GROUP,
            "WorkspaceName": WORKSPACE,
        },
        "workspaceId": WORKSPACE_ID,
        "object": {**shown, "properties": {**shown["properties"], **parts}},
    }


async def _run_playbook(world: World, case: Case) -> str:
    """Post the incident to the bot; what came of that, as a sentence."""
    if not world.playbook_url:
        return "No automation rule is set up: the bot finds it when it polls."
    try:
        async with (
            aiohttp.ClientSession(timeout=_WAIT) as http,
            http.post(world.playbook_url, json=trigger_body(world, case)) as answer,
        ):
            return f"The bot answered its playbook {answer.status}."
    except (aiohttp.ClientError, TimeoutError):
        return "The bot did not answer its playbook."


def _is_from_elsewhere(request: web.Request) -> bool:
    """Whether a page of another origin makes the request; what is no browser says nothing."""
    own = f"{request.scheme}://{request.host}"
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    return site != "same-origin" or request.headers.get("Origin", own) != own


def _read(path: Path) -> JsonObject:
    return read_yaml(path.read_text("utf-8"))
