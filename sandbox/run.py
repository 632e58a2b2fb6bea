"""`python app.py sandbox`: the bot and the services it talks to, in one process on one port."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from aiohttp import web

from bot import serving
from bot.settings import Settings, overlaid

from . import arriving, log_analytics, openai, portal, sentinel
from .logs.workspace import Logs, load_logs
from .world import RESOURCE_GROUP, SUBSCRIPTION, WORKSPACE, WORKSPACE_ID, World, load

# Seconds between two pieces of an answer: slow enough for Teams' one update a second to be seen.
PACE = 0.12
_BANNER = """
Casemate's sandbox
  incidents   {base}/            what the bot writes shows up here
  bot         {base}/api/messages
  state       {base}/readyz

Open the client that `make run` starts, and ask: what happened in incident 3177?
To see one arrive, say `subscribe` there, then: curl -X POST {base}/incidents
"""


def settings(port: int) -> Settings:
    """The production settings, pointed at this process; the environment may still set the rest."""
    base = f"http://127.0.0.1:{port}"
    model = {"AZURE_OPENAI_MODEL": openai.MODEL, "AZURE_OPENAI_API_KEY": ""}
    here = {"HOST": "127.0.0.1", "PORT": str(port), "POLL_SECONDS": "2"}
    return overlaid({**workspace(base), **model_address(base), **model, **here})


def workspace(base: str) -> dict[str, str]:
    """What points the bot's settings at the workspace and the logs served at `base`."""
    return {
        "BOT_APP_ID": "",
        "ARM_ENDPOINT": base,
        "LOG_ANALYTICS_ENDPOINT": base,
        "SENTINEL_WORKSPACES": "",
        "SENTINEL_SUBSCRIPTION_ID": SUBSCRIPTION,
        "SENTINEL_RESOURCE_GROUP": RESOURCE_GROUP,
        "SENTINEL_WORKSPACE": WORKSPACE,
        "SENTINEL_WORKSPACE_ID": WORKSPACE_ID,
    }


def model_address(base: str) -> dict[str, str]:
    """What points the bot's settings at the model served at `base`."""
    return {"AZURE_OPENAI_BASE_URL": f"{base}/openai/v1/"}


def add_services(
    app: web.Application, world: World, logs: Logs | None = None, *, pace: float = PACE
) -> None:
    """Add the workspace, its logs and pages and the model to an application.

    Reads files, and takes a second where the logs have to be made: not on a loop.
    """
    app.add_routes(sentinel.routes(world))
    logs = logs or load_logs(world.now(), world)
    app.add_routes(log_analytics.routes(logs))
    app.add_routes(portal.routes(world))
    app.add_routes(arriving.routes(world, logs))
    app.add_routes(openai.routes(pace=pace, slow_pace=4 * pace))


def run(port: int, application: Callable[[Settings], Awaitable[web.Application]]) -> int:
    """Serve until stopped; the exit code says whether it could."""
    chosen = settings(port)
    base = f"http://127.0.0.1:{port}"

    async def build() -> web.Application:
        app = await application(chosen)
        world = await asyncio.to_thread(load, datetime.now(UTC))
        world.portal_url, world.playbook_url = base, f"{base}/api/incidents"
        await asyncio.to_thread(add_services, app, world)
        print(_BANNER.format(base=base), flush=True)
        return app

    return serving.run(chosen, build)
