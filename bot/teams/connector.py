"""Talks to Teams' connector over one aiohttp session, in place of the SDK's blocking client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import quote

import aiohttp

from .. import wire
from ..domain import endpoint
from ..errors import CasemateError, Undelivered
from ..ports import Clock, JsonObject
from .activity import service_url_allowed

# Worth another try by Teams' own word (docs: rate-limit). 500 is not in the list: the message may
# have got through.
_RETRIED = wire.Retries(
    statuses=frozenset({412, 429, 502, 504}),
    attempts=5,
    first_wait=0.5,
    longest_wait=30.0,
    total_wait=60.0,
    connection_errors=False,
)
_ONCE = wire.Retries(statuses=(), attempts=1)


class Connector:
    """Sends, edits and deletes activities in a conversation."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        clock: Clock,
        *,
        token: Callable[[], Awaitable[str]] | None,
        loopback: bool,
    ) -> None:
        self._session = session
        self._clock = clock
        self._token = token
        self._loopback = loopback

    async def post(
        self, service_url: str, conversation: str, activity: JsonObject, *, retry: bool = True
    ) -> wire.Answer:
        """Send an activity; the answer comes back as it is. Raises Undelivered when none came."""
        return await self._send("POST", service_url, conversation, "", activity, retry)

    async def put(
        self, service_url: str, conversation: str, activity_id: str, activity: JsonObject
    ) -> wire.Answer:
        """Replace an activity that was sent before."""
        return await self._send("PUT", service_url, conversation, activity_id, activity, True)

    async def delete(self, service_url: str, conversation: str, activity_id: str) -> wire.Answer:
        """Take an activity back."""
        return await self._send("DELETE", service_url, conversation, activity_id, None, True)

    async def _send(
        self,
        method: str,
        service_url: str,
        conversation: str,
        activity_id: str,
        activity: JsonObject | None,
        retry: bool,
    ) -> wire.Answer:
        if not service_url_allowed(service_url, loopback=self._loopback):
            raise Undelivered("This conversation's address is not one of Teams'.", retire=True)
        url = (
            f"{service_url.rstrip('/')}/v3/conversations/{quote(conversation, safe='')}/activities"
        )
        if activity_id:
            url += f"/{quote(activity_id, safe='')}"
        headers: dict[str, str] = {}
        try:
            if self._token is not None and endpoint.takes_token(service_url):
                headers["Authorization"] = f"Bearer {await self._token()}"
            return await wire.request(
                self._session,
                method,
                url,
                clock=self._clock,
                json=activity,
                headers=headers,
                timeout=20.0,
                retries=_RETRIED if retry else _ONCE,
            )
        except wire.Unreachable as error:
            raise Undelivered("Teams could not be reached.") from error
        except CasemateError as error:
            raise Undelivered("The bot has no valid token for Teams.") from error


def delivered_id(answer: wire.Answer) -> str:
    """The id of what was sent. Raises Undelivered where Teams refused it.

    403 and 404 mean that the bot was blocked or removed, or the conversation is gone: for good.
    """
    if answer.status not in (200, 201, 202):
        code, message = answer.error
        raise Undelivered(
            f"Teams refused a message (status {answer.status}, {code or message[:100]}).",
            status=answer.status,
            retire=answer.status in (403, 404),
        )
    data = answer.json
    found = data.get("id") if isinstance(data, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return found if isinstance(found, str) else ""
