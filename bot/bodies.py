"""Reads what is posted, up to a size and within a time, and answers with JSON: for every edge."""

from __future__ import annotations

import asyncio
import logging

import orjson
from aiohttp import web

from .errors import Refused, TooBusy, TooLarge
from .ports import JsonObject

log = logging.getLogger(__name__)

MAX_BODY = 256 * 1024
READ_SECONDS = 10.0


async def read_body(request: web.Request, seconds: float = READ_SECONDS) -> bytes:
    """Read at most `MAX_BODY` bytes. Raises TooLarge, and Refused where the body breaks off."""
    too_large = TooLarge(f"The body is over {MAX_BODY // 1024} KiB.")
    if (request.content_length or 0) > MAX_BODY:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > MAX_BODY:
                    raise too_large
    except (TimeoutError, web.RequestPayloadError) as error:
        raise Refused("The body did not arrive whole.") from error
    return bytes(body)


def json(
    body: JsonObject, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    """A JSON response."""
    return web.Response(
        body=orjson.dumps(body), status=status, headers=headers, content_type="application/json"
    )


def refusal(error: Refused) -> web.Response:
    """A refusal as status and sentence; nothing else of what we know."""
    log.info("refused a request with %d: %s", error.status, error.sentence)
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}
    if isinstance(error, TooBusy):
        headers["Retry-After"] = str(error.retry_after)
    return json({"error": error.sentence}, error.status, headers)
