"""Casemate's composition root: settings, services, desk and routes are put together here.

`python app.py` runs the bot as the environment says; `python app.py sandbox` runs it together with
a workspace and a model that need no account.
"""

from __future__ import annotations

import sys
import uuid
from contextlib import AsyncExitStack
from datetime import timedelta

import aiohttp
from aiohttp import web

from bot import commands, gate, serving
from bot.azure.credentials import CONNECTOR_SCOPE, tokens_for
from bot.clock import SystemClock
from bot.desk.announce import Announcements
from bot.desk.enrich import Budget
from bot.desk.watch import Watch
from bot.health import Health
from bot.opening import opened
from bot.ports import Clock
from bot.settings import Settings
from bot.teams.authentication import BotFrameworkTokens, SigningKeys
from bot.teams.connector import Connector
from bot.teams.edge import Admission
from bot.teams.front import front
from bot.teams.herald import TeamsHerald
from bot.webhook.edge import Webhook
from bot.webhook.tokens import EntraTokens, openid_metadata
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
        session = aiohttp.ClientSession(connector=pool, cookie_jar=jar)
        await parts.enter_async_context(session)
        tokens = await tokens_for(settings, session, clock, parts)
        services = await opened(settings, session, tokens, clock, parts)
        desk = services.desk
        loopback = settings.loopback_services
        connector = Connector(session, clock, token=tokens.get(CONNECTOR_SCOPE), loopback=loopback)
        keys = SigningKeys(session, settings.bot_openid_metadata, clock)
        admission = Admission(
            tokens=None if settings.local_mode else BotFrameworkTokens(keys, settings.bot_app_id),
            tenants=settings.allowed_tenants,
            loopback=loopback,
        )
        owner = uuid.uuid4().hex
        dialogs = responder(desk), clicker(desk), unfurler(desk), leaver(desk)
        signing = services.sign_ins
        edge, turns = front(
            connector, desk.store, clock, admission, *dialogs, owner=owner, sign_ins=signing
        )
        announcements = Announcements(desk, TeamsHerald(connector), WORDING, owner)
        watch = Watch(
            desk,
            announcements,
            owner,
            poll_seconds=settings.poll_seconds,
            mode=settings.enrich,
            budget=Budget(settings.enrich_per_hour),
            tasks_as_comment=settings.tasks_also_as_comment,
        )
        parts.push_async_callback(watch.close)
        webhook = posted_incidents(settings, session, clock, watch)
        health = Health(services.checks, "store", clock)

        app = web.Application(middlewares=[gate.loopback_only] if settings.local_mode else [])
        app.router.add_post("/api/messages", edge.messages)
        app.router.add_post("/api/incidents", webhook.incidents)
        app.router.add_get("/healthz", health.healthz)
        app.router.add_get("/readyz", health.readyz)
        keep = timedelta(days=settings.history_days)
        starting = (*services.starting, watch)
        serving.live_with(app, starting, turns, desk.store, clock, keep, parts.pop_all())
        return app


def posted_incidents(
    settings: Settings, session: aiohttp.ClientSession, clock: Clock, watch: Watch
) -> Webhook:
    """The route that playbooks post incidents to; in local mode anyone on this machine may."""
    tenant, authority = settings.bot_tenant_id, settings.entra_authority
    keys = SigningKeys(session, openid_metadata(authority, tenant), clock)
    audience, callers = settings.incident_webhook_audience, settings.incident_webhook_callers
    tokens = EntraTokens(keys, authority, tenant, audience, callers)
    return Webhook(None if settings.local_mode else tokens, watch.arrived, settings.workspace)


def sandbox(port: int) -> int:
    """Run the bot beside a workspace, logs and a model that need no account."""
    from sandbox.run import run

    return run(port, application)


if __name__ == "__main__":
    sys.exit(commands.run(application, sandbox))
