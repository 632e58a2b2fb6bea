"""`POST /api/incidents`: who may say that there is an incident, and which one it is.

The body is a hint. Only the incident's id is taken from it, and only where it is of a workspace of
ours; everything else is read from Sentinel.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import orjson
from aiohttp import web

from ..bodies import read_body, refusal
from ..domain.incident import IncidentRef, Workspace
from ..errors import Refused, StoreError, TooBusy
from ..ports import JsonObject
from .tokens import EntraTokens

log = logging.getLogger(__name__)

MAX_ID = 1_000
# The workspace's provider is not compared: the API's own examples misspell it (facts 1.2).
_INCIDENT = re.compile(
    r"/subscriptions/([^/]+)/resourceGroups/([^/]+)/providers/[^/]+/workspaces/([^/]+)"
    r"/providers/Microsoft\.SecurityInsights/incidents/([0-9a-z-]{1,64})",
    re.ASCII | re.IGNORECASE,
)

Arrived = Callable[[IncidentRef], Awaitable[None]]


class Webhook:
    """The route's handler.

    `tokens` is None in local mode, where only loopback can call at all. `arrived` takes an
    incident and returns once that is kept; it is called again for a repeat.
    """

    def __init__(
        self,
        tokens: EntraTokens | None,
        arrived: Arrived,
        workspaces: Sequence[Workspace],
    ) -> None:
        self._tokens = tokens
        self._arrived = arrived
        self._workspaces = workspaces

    async def incidents(self, request: web.Request) -> web.Response:
        """Answer one POST: 202 for what is worked on later, else a refusal."""
        try:
            body = await read_body(request)
            if self._tokens is not None:
                await self._tokens.caller(request.headers.get("Authorization", ""))
            await self._arrived(incident_in(body, self._workspaces))
        except Refused as error:
            return refusal(error)
        except StoreError as error:
            log.error("the store does not answer: %s", error.sentence)
            return refusal(
                TooBusy("Casemate cannot keep incidents at the moment. Please try again.")
            )
        return web.Response(status=202)


def incident_in(body: bytes, workspaces: Sequence[Workspace]) -> IncidentRef:
    """Name the incident that a trigger's body is about, by its resource name in lower case.

    Raises Refused where the body is not the trigger's, or is about none of these workspaces.
    """
    try:
        data: Any = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused("The body is not JSON.") from error
    resource = cast(JsonObject, data).get("object") if isinstance(data, dict) else None
    id = cast(JsonObject, resource).get("id") if isinstance(resource, dict) else None
    found = _INCIDENT.fullmatch(id) if isinstance(id, str) and len(id) <= MAX_ID else None
    if found is None:
        raise Refused("The body is not that of a Sentinel incident trigger: it names no incident.")
    *where, name = found.groups()
    for workspace in workspaces:
        if workspace.is_at(*where):
            return IncidentRef(workspace.name, name.lower())
    raise Refused("The incident is of a workspace that Casemate does not serve.")
