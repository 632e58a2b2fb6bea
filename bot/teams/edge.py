"""`POST /api/messages`: who may speak to the bot, and what becomes of an activity.

In this order: size, token, shape, the token's claims against the activity, service URL, tenant,
sender, the SOC's team. Only then is anything kept or done. Each refusal is a status and a sentence.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from ..bodies import READ_SECONDS, json, read_body, refusal
from ..errors import NotAllowed, Refused, StoreError, TooBusy
from ..journal import about
from ..ports import Claim, Clock, JsonObject
from .activity import analyst_of, claim_of, parse, service_url_allowed, tenant_of
from .authentication import BotFrameworkTokens
from .roster import Roster, is_guest
from .turns import Turns

log = logging.getLogger(__name__)

Invoke = Callable[[Claim], Coroutine[Any, Any, tuple[int, JsonObject]]]


@dataclass(frozen=True, slots=True)
class Admission:
    """Who is let in. `tokens` is None in local mode, where only loopback can call at all.

    `roster` is None where nobody needs to be in a team.
    """

    tokens: BotFrameworkTokens | None
    tenants: frozenset[str]
    loopback: bool
    roster: Roster | None = None


class Edge:
    """The route's handler; `invoke` answers what Teams waits for, by status and body."""

    def __init__(
        self,
        admission: Admission,
        invoke: Invoke,
        turns: Turns,
        clock: Clock,
        *,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        self._admission = admission
        self._invoke = invoke
        self._turns = turns
        self._clock = clock
        self._read_seconds = read_seconds

    async def messages(self, request: web.Request) -> web.Response:
        """Answer one POST: 202 for what is worked on later, 200 for an invoke, else a refusal."""
        try:
            activity = await self._admitted(request)
            if not await self._is_for_us(activity):
                return web.Response(status=202)
            if activity["type"] == "invoke":
                claim = claim_of(activity, self._clock.now())
                with about(claim.key):
                    status, body = await self._turns.at_once(self._invoke(claim))
                return json(body, status)
            if activity["type"] in ("message", "conversationUpdate", "installationUpdate"):
                activity["id"] = activity.get("id") or uuid.uuid4().hex
                await self._turns.accept(claim_of(activity, self._clock.now()))
            return web.Response(status=202)
        except Refused as error:
            return refusal(error)
        except StoreError as error:
            log.error("the store does not answer: %s", error.sentence)
            return refusal(
                TooBusy("Casemate cannot keep messages at the moment. Please try again.")
            )

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

    async def _is_for_us(self, activity: JsonObject) -> bool:
        """Hold the sender against the team. Raises NotAllowed, and TooBusy while nobody can tell.

        False where the bot should stay silent: somebody outside the team takes it somewhere.
        """
        roster = self._admission.roster
        if roster is None:
            return True
        if activity["type"] == "conversationUpdate":
            roster.hear(activity)
            return not activity.get("membersAdded") or await roster.has(activity)
        if activity["type"] in ("message", "invoke") and not await roster.has(activity):
            if activity["type"] == "message":
                await roster.turn_away(activity)
            raise NotAllowed("Only members of the SOC's team may use this bot.")
        return True


def _known(activity: JsonObject) -> bool:
    """Anonymous users and guests of meetings have no Entra object id.

    A guest of the tenant has one, and nothing in an activity needs to say so: only the roster of a
    team (`SOC_TEAM_ID`) surely tells.
    """
    sender = activity["from"]
    return analyst_of(activity).id == sender.get("aadObjectId") and not is_guest(sender)
