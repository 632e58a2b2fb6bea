"""Casemate's composition root: settings, adapters, desk and routes are put together here.

`python app.py` runs the bot as the environment says; `python app.py sandbox` runs it together with
a workspace and a model that need no account.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import uuid
from contextlib import AsyncExitStack
from datetime import timedelta

import aiohttp
from aiohttp import web

import prompts
from bot import gate, serving
from bot.azure.credentials import CONNECTOR_SCOPE, MODEL_SCOPE, arm_scope, tokens_for
from bot.azure.openai import AzureChatModel
from bot.azure.sentinel import Sentinel
from bot.clock import SystemClock
from bot.desk.casefile import CaseFiles
from bot.desk.desk import Desk
from bot.domain import budget
from bot.errors import CasemateError
from bot.health import Health
from bot.local.sqlite import SqliteStore
from bot.ports import Clock
from bot.settings import Settings, from_process
from bot.teams.authentication import BotFrameworkTokens, SigningKeys
from bot.teams.bot import Bot
from bot.teams.connector import Connector
from bot.teams.edge import Admission, Edge
from bot.teams.turns import Turns
from dialogs import clicker, responder
from prompts.playbook import playbook


async def application(settings: Settings, clock: Clock | None = None) -> web.Application:
    """Put the bot together; stopping the application stops and closes every part of it.

    Raises CasemateError where a part cannot start.
    """
    clock = clock or SystemClock()
    async with AsyncExitStack() as parts:
        pool = aiohttp.TCPConnector(limit=256, limit_per_host=128)
        session = await parts.enter_async_context(aiohttp.ClientSession(connector=pool))
        store = SqliteStore(settings.store_path)
        await store.open()
        parts.push_async_callback(store.close)
        tokens = await tokens_for(settings, session, clock, parts)
        key = settings.model_api_key or tokens.get(MODEL_SCOPE)
        model = AzureChatModel(settings.model_base_url, settings.model, key, clock)
        parts.push_async_callback(model.close)
        arm = tokens.get(arm_scope(settings.arm_endpoint))
        sentinel = Sentinel(session, settings.workspace, settings.arm_endpoint, arm, clock)
        loopback = settings.loopback_services
        connector = Connector(session, clock, token=tokens.get(CONNECTOR_SCOPE), loopback=loopback)
        desk = Desk(
            workspace=settings.workspace.name,
            incidents=sentinel,
            cases=CaseFiles(sentinel, clock),
            model=model,
            store=store,
            clock=clock,
            prompts=await asyncio.to_thread(prompts.load, settings.prompts_dir),
            playbook=await asyncio.to_thread(playbook, settings.prompts_dir),
            count=await asyncio.to_thread(budget.counter),
        )
        owner = uuid.uuid4().hex
        bot = Bot(
            connector, store, clock, owner=owner, respond=responder(desk), click=clicker(desk)
        )
        turns = Turns(store, clock, bot.work, owner=owner)
        keys = SigningKeys(session, settings.bot_openid_metadata, clock)
        admission = Admission(
            tokens=None if settings.local_mode else BotFrameworkTokens(keys, settings.bot_app_id),
            tenants=settings.allowed_tenants,
            loopback=loopback,
        )
        checks = {"store": store.ping, "model": model.ping, "sentinel": sentinel.ping}
        health = Health(checks, "store", clock)

        app = web.Application(middlewares=[gate.loopback_only] if settings.local_mode else [])
        app.router.add_post("/api/messages", Edge(admission, bot, turns, clock).messages)
        app.router.add_get("/healthz", health.healthz)
        app.router.add_get("/readyz", health.readyz)
        keep = timedelta(days=settings.history_days)
        serving.live_with(app, turns, store, clock, keep, parts.pop_all())
        return app


def main(arguments: list[str] | None = None) -> int:
    """Run a command; the exit code says whether it could."""
    parser = argparse.ArgumentParser(prog="app.py", description="Casemate")
    commands = parser.add_subparsers(dest="command")
    sandbox = commands.add_parser("sandbox", help="run with a workspace that needs no account")
    sandbox.add_argument("--port", type=int, default=3978)
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    try:
        if chosen.command == "sandbox":
            from sandbox.run import run

            return run(chosen.port, application)
        settings = from_process()
        return serving.run(settings, lambda: application(settings))
    except CasemateError as error:
        print(error.sentence, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
