"""Puts together the route that playbooks post incidents to."""

from __future__ import annotations

import aiohttp

from ..ports import Clock
from ..settings import Settings
from ..signing import SigningKeys
from .edge import Arrived, Webhook
from .tokens import EntraTokens, openid_metadata


def posted_incidents(
    settings: Settings, session: aiohttp.ClientSession, clock: Clock, arrived: Arrived
) -> Webhook:
    """The route, whose incidents are handed to `arrived`; in local mode this machine's may post."""
    tenant, authority = settings.bot_tenant_id, settings.entra_authority
    keys = SigningKeys(session, openid_metadata(authority, tenant), clock)
    audience, callers = settings.incident_webhook_audience, settings.incident_webhook_callers
    tokens = EntraTokens(keys, authority, tenant, audience, callers)
    return Webhook(None if settings.local_mode else tokens, arrived, settings.workspaces)
