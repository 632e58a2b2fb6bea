"""Keeps browsers out of local mode: there nobody is authenticated, so only loopback may ask."""

from __future__ import annotations

from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from .domain.endpoint import is_loopback, is_loopback_host


@web.middleware
async def loopback_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse a `Host` that is not loopback (DNS rebinding) and foreign pages' requests (403)."""
    try:
        host = urlsplit(f"//{request.headers.get('Host', '')}").hostname or ""
    except ValueError:
        host = ""
    origin = request.headers.get("Origin", "")
    if not is_loopback_host(host) or (origin and not is_loopback(origin)):
        return web.Response(status=403, text="Local mode answers loopback only.")
    return await handler(request)
