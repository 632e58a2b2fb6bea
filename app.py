"""Casemate's composition root: settings, services, desk and routes are put together here.

`python app.py` runs the bot as the environment says; `python app.py sandbox` runs it together with
a workspace and a model that need no account.
"""

from __future__ import annotations

import sys
import uuid
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta

import aiohttp
from aiohttp import web

from bot import commands, gate, serving
from bot.azure.credentials import CONNECTOR_SCOPE, tokens_for
from bot.clock import SystemClock
from bot.desk.announce import Announcements
from bot.desk.deliver import Deliveries
from bot.desk.enrich import Budget
from bot.desk.watch import Watch
from bot.health import Health
from bot.opening import opened, trail
from bot.ports import Clock
from bot.settings import Settings
from bot.teams.connector import Connector
from bot.teams.front import admission_of, front
from bot.teams.herald import TeamsHerald
from bot.telemetry import telemetry
from bot.webhook.front import posted_incidents
from dialogs import clicker, leaver, responder
from dialogs.announce import WORDING
from dialogs.unfurl import unfurler


async def application(settings: Settings, clock: Clock | None = None) -> web.Application:
    """Put the bot together; stopping the application stops and closes every part of it.

    Raises CasemateError where a part cannot start.
    """
    clock = clock or SystemClock()
    async with AsyncExitStack() as parts:
        pool = aiohttp.TCPConnector(limit=256, limit_per_host=128)
        # No jar: a cookie of one analyst's answer must not go with another's request.
        jar = aiohttp.DummyCookieJar()
        told = await telemetry(settings, parts)
        session = aiohttp.ClientSession(connector=pool, cookie_jar=jar, trace_configs=[*told.http])
        await parts.enter_async_context(session)
        tokens = await tokens_for(settings, session, clock, parts)
        services = await opened(settings, session, tokens, clock, parts, told)
        desk = services.desk
        loopback = settings.loopback_services
        token, teams = tokens.get(CONNECTOR_SCOPE), not settings.local_mode
        connector = Connector(session, clock, token=token, loopback=loopback, teams=teams)
        admission = admission_of(settings, session, connector, clock)
        owner = uuid.uuid4().hex
        announcements = Announcements(desk)
        herald, around = TeamsHerald(connector), told.announce
        deliveries = Deliveries(desk, announcements, herald, WORDING, owner, around)
        watch = Watch(
            desk,
            announcements,
            deliveries,
            owner,
            poll_seconds=settings.poll_seconds,
            mode=settings.enrich,
            budget=Budget(settings.enrich_per_hour),
            tasks_as_comment=settings.tasks_also_as_comment,
        )
        parts.push_async_callback(watch.close)
        desk = replace(desk, changed=watch.arrived)
        dialogs = responder(desk), clicker(desk), unfurler(desk), leaver(desk)
        signing, store = services.sign_ins, desk.store
        edge, turns, bot = front(
            connector, store, clock, admission, *dialogs, owner, signing, told.turn
        )
        webhook = posted_incidents(settings, session, clock, watch.arrived)
        health = Health(services.checks, "store", clock)

        app = web.Application(middlewares=[gate.loopback_only] if settings.local_mode else [])
        app.router.add_post("/api/messages", edge.messages)
        app.router.add_post("/api/incidents", webhook.incidents)
        app.router.add_get("/healthz", health.healthz)
        app.router.add_get("/readyz", health.readyz)
        chats, audit = timedelta(days=settings.history_days), timedelta(days=settings.audit_days)
        keep = serving.Retention(chats, audit)
        starting, later = (*services.starting, watch), (bot.open, *services.later)
        serving.live_with(app, starting, turns, desk.store, clock, keep, later, parts.pop_all())
        return app


def sandbox(port: int) -> int:
    """Run the bot beside a workspace, logs and a model that need no account."""
    from sandbox.run import run

    return run(port, application)


if __name__ == "__main__":
    sys.exit(commands.run(application, sandbox, trail))
