"""`POST /api/messages`: who may speak to the bot, and what becomes of an activity.

In this order: size, token, shape, the token's claims against the activity, service URL, tenant,
sender. Only then is anything kept or done. Every refusal is a status and a sentence.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from dataclasses import dataclass

import orjson
from aiohttp import web

from ..errors import NotAllowed, NotAnActivity, Refused, StoreError, TooBusy, TooLarge
from ..ports import Clock, JsonObject
from .activity import MAX_BODY, analyst_of, claim_of, parse, service_url_allowed, tenant_of
from .authentication import BotFrameworkTokens
from .bot import Bot
from .turns import Turns

log = logging.getLogger(__name__)

READ_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Admission:
    """Who is let in. `tokens` is None in local mode, where only loopback can call at all."""

    tokens: BotFrameworkTokens | None
    tenants: frozenset[str]
    loopback: bool


class Edge:
    """The route's handler."""

    def __init__(
        self,
        admission: Admission,
        bot: Bot,
        turns: Turns,
        clock: Clock,
        *,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        self._admission = admission
        self._bot = bot
        self._turns = turns
        self._clock = clock
        self._read_seconds = read_seconds

    async def messages(self, request: web.Request) -> web.Response:
        """Answer one POST: 202 for what is worked on later, 200 for an invoke, else a refusal."""
        try:
            activity = await self._admitted(request)
            if activity["type"] == "invoke":
                status, body = await self._turns.at_once(self._bot.invoke(activity))
                return json(body, status)
            if activity["type"] in ("message", "conversationUpdate"):
                activity["id"] = activity.get("id") or uuid.uuid4().hex
                await self._turns.accept(claim_of(activity, self._clock.now()))
            return web.Response(status=202)
        except TooBusy as error:
            return refusal(error, {"Retry-After": str(error.retry_after)})
        except Refused as error:
            headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}
            log.info("refused a request with %d: %s", error.status, error.sentence)
            return refusal(error, headers)
        except StoreError as error:
            log.error("the store does not answer: %s", error.sentence)
            busy = TooBusy("Casemate cannot keep messages at the moment. Please try again.")
            return refusal(busy, {"Retry-After": "5"})

    async def _admitted(self, request: web.Request) -> JsonObject:
        admission = self._admission
        body = await read_body(request, self._read_seconds)
        verified = None
        if admission.tokens is not None:
            verified = await admission.tokens.claims(request.headers.get("Authorization", ""))
        activity = parse(body)
        if admission.tokens is not None and verified is not None:
            admission.tokens.check_activity(*verified, activity)
            if activity["channelId"] != "msteams":
                raise NotAllowed("Casemate is for Microsoft Teams.")
        teams = admission.tokens is not None
        url = activity["serviceUrl"]
        if not service_url_allowed(url, loopback=admission.loopback, teams=teams):
            raise NotAllowed("The service URL is not one of Teams'.")
        tenant = tenant_of(activity)
        if admission.tokens is not None:
            if tenant not in admission.tenants:
                raise NotAllowed("This tenant may not use this bot.")
            if activity["type"] in ("message", "invoke") and not _known(activity):
                raise NotAllowed("Only members of the tenant may use this bot.")
        return activity


def _known(activity: JsonObject) -> bool:
    """Anonymous users and guests of meetings have no Entra object id."""
    return analyst_of(activity).id == activity["from"].get("aadObjectId")


async def read_body(request: web.Request, seconds: float = READ_SECONDS) -> bytes:
    """Read at most the size of an activity. Raises TooLarge, NotAnActivity."""
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
        raise NotAnActivity("The body did not arrive whole.") from error
    return bytes(body)


def json(
    body: JsonObject, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    """A JSON response."""
    return web.Response(
        body=orjson.dumps(body), status=status, headers=headers, content_type="application/json"
    )


def refusal(error: Refused, headers: dict[str, str] | None = None) -> web.Response:
    """A refusal as status and sentence; nothing else of what we know."""
    return json({"error": error.sentence}, error.status, headers)
