"""Casemate's composition root: settings, adapters, desk and routes, put together here, nowhere else.

`python app.py` runs the bot as the environment says; `python app.py sandbox` runs it together with
a workspace and a model that need no account.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import sys
import uuid
from collections.abc import Iterable
from datetime import timedelta

import aiohttp
from aiohttp import web

import prompts
from bot import gate, serving
from bot.azure.credentials import CONNECTOR_SCOPE, MODEL_SCOPE, BotIdentity, Tokens, arm_scope
from bot.azure.credentials import credential as make_credential
from bot.azure.openai import AzureChatModel
from bot.azure.sentinel import Sentinel
from bot.clock import SystemClock
from bot.desk.casefile import CaseFiles
from bot.desk.desk import Desk
from bot.domain import budget
from bot.domain.endpoint import takes_token
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
    texts = await asyncio.to_thread(prompts.load, settings.prompts_dir)
    book = await asyncio.to_thread(playbook, settings.prompts_dir)
    count = await asyncio.to_thread(budget.counter)
    async with contextlib.AsyncExitStack() as parts:
        session = await parts.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=256, limit_per_host=128))
        )
        store = SqliteStore(settings.store_path)
        await store.open()
        parts.push_async_callback(store.close)
        tokens = await _tokens(settings, session, clock, parts)
        model = AzureChatModel(
            settings.model_base_url,
            settings.model,
            settings.model_api_key or tokens.get(MODEL_SCOPE),
            clock,
        )
        parts.push_async_callback(model.close)
        arm = tokens.get(arm_scope(settings.arm_endpoint))
        sentinel = Sentinel(session, settings.workspace, settings.arm_endpoint, arm, clock)
        desk = Desk(
            workspace=settings.workspace.name,
            incidents=sentinel,
            cases=CaseFiles(sentinel, clock),
            model=model,
            store=store,
            clock=clock,
            prompts=texts,
            playbook=book,
            count=count,
        )
        owner = uuid.uuid4().hex
        connector = Connector(
            session,
            clock,
            token=tokens.get(CONNECTOR_SCOPE),
            loopback=settings.loopback_services,
        )
        bot = Bot(
            connector, store, clock, owner=owner, respond=responder(desk), click=clicker(desk)
        )
        turns = Turns(store, clock, bot.work, owner=owner)
        keys = SigningKeys(session, settings.bot_openid_metadata, clock)
        admission = Admission(
            tokens=None if settings.local_mode else BotFrameworkTokens(keys, settings.bot_app_id),
            tenants=settings.allowed_tenants,
            loopback=settings.loopback_services,
        )
        checks = {"store": store.ping, "model": model.ping, "sentinel": sentinel.ping}
        health = Health(checks, "store", clock)
        edge = Edge(admission, bot, turns, clock)

        app = web.Application(middlewares=[gate.loopback_only] if settings.local_mode else [])
        app.router.add_post("/api/messages", edge.messages)
        app.router.add_get("/healthz", health.healthz)
        app.router.add_get("/readyz", health.readyz)
        keep = timedelta(days=settings.history_days)
        serving.run_with(app, turns, store, clock, keep, parts.pop_all())
        return app


async def _tokens(
    settings: Settings,
    session: aiohttp.ClientSession,
    clock: Clock,
    parts: contextlib.AsyncExitStack,
) -> dict[str, Tokens]:
    """One credential a process, one token a scope, for those endpoints that take one."""
    identity = None
    if not settings.local_mode:
        identity = BotIdentity(
            settings.bot_app_id,
            settings.bot_tenant_id,
            settings.bot_app_type,
            settings.bot_app_password,
            settings.entra_authority,
        )
    scopes: list[str] = []
    if takes_token(settings.model_base_url) and not settings.model_api_key:
        scopes.append(MODEL_SCOPE)
    if takes_token(settings.arm_endpoint):
        scopes.append(arm_scope(settings.arm_endpoint))
    if identity:
        scopes.append(CONNECTOR_SCOPE)
    if not scopes:
        return {}
    made = await make_credential(identity, session, clock)
    parts.push_async_callback(made.close)
    return {scope: Tokens(made, scope, clock) for scope in scopes}


def main(arguments: Iterable[str] | None = None) -> int:
    """Run a command; the exit code says whether it could."""
    parser = argparse.ArgumentParser(prog="app.py", description="Casemate")
    commands = parser.add_subparsers(dest="command")
    sandbox = commands.add_parser("sandbox", help="run with a workspace that needs no account")
    sandbox.add_argument("--port", type=int, default=3978)
    chosen = parser.parse_args(None if arguments is None else list(arguments))
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
