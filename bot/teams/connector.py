"""Talks to Teams' connector over one aiohttp session, in place of the SDK's blocking client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast
from urllib.parse import quote, urlencode

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
MEMBERS_PAGE = 500


class Connector:
    """Sends, edits and deletes activities in a conversation, and reads who is in it.

    An address may come from a store that is years old: each is held against the list of Teams' own
    (`teams`) and this machine's (`loopback`) before our token goes there.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        clock: Clock,
        *,
        token: Callable[[], Awaitable[str]] | None,
        loopback: bool,
        teams: bool = True,
    ) -> None:
        self._session = session
        self._clock = clock
        self._token = token
        self._loopback = loopback
        self._teams = teams

    async def post(
        self,
        service_url: str,
        conversation: str,
        activity: JsonObject,
        *,
        retry: bool = True,
        holds: Callable[[], bool] = wire.always,
    ) -> wire.Answer:
        """Send an activity; the answer comes back as it is. Raises Undelivered when none came.

        Nothing is sent, nor sent again, when `holds` says that it is another replica's to send.
        """
        path = f"{_path(conversation)}/activities"
        retries = _RETRIED if retry else _ONCE
        return await self._send("POST", service_url, path, activity, retries, holds)

    async def put(
        self,
        service_url: str,
        conversation: str,
        activity_id: str,
        activity: JsonObject,
        *,
        holds: Callable[[], bool] = wire.always,
    ) -> wire.Answer:
        """Replace an activity that was sent before."""
        path = f"{_path(conversation)}/activities/{quote(activity_id, safe='')}"
        return await self._send("PUT", service_url, path, activity, _RETRIED, holds)

    async def delete(self, service_url: str, conversation: str, activity_id: str) -> wire.Answer:
        """Take an activity back."""
        path = f"{_path(conversation)}/activities/{quote(activity_id, safe='')}"
        return await self._send("DELETE", service_url, path, None, _RETRIED)

    async def members(
        self, service_url: str, team: str, page: str = ""
    ) -> tuple[list[JsonObject], str]:
        """Read one page of a team's members, and what names the next (docs: get-teams-context).

        Raises Undelivered where there is no roster to be had.
        """
        query = {"pageSize": MEMBERS_PAGE, **({"continuationToken": page} if page else {})}
        path = f"{_path(team)}/pagedmembers?{urlencode(query)}"
        answer = await self._send("GET", service_url, path, None, _ONCE)
        data = answer.json
        listed = cast(JsonObject, data).get("members") if isinstance(data, dict) else None
        if answer.status != 200 or not isinstance(listed, list):
            raise Undelivered(f"Teams gave no members (status {answer.status}).", answer.status)
        members = [cast(JsonObject, m) for m in cast(list[Any], listed) if isinstance(m, dict)]
        following = cast(JsonObject, data).get("continuationToken")
        return members, following if isinstance(following, str) else ""

    async def _send(
        self,
        method: str,
        service_url: str,
        path: str,
        body: JsonObject | None,
        retries: wire.Retries,
        holds: Callable[[], bool] = wire.always,
    ) -> wire.Answer:
        if not service_url_allowed(service_url, loopback=self._loopback, teams=self._teams):
            raise Undelivered("This conversation's address is not one of Teams'.", retire=True)
        headers: dict[str, str] = {}
        try:
            if self._token is not None and endpoint.takes_token(service_url):
                headers["Authorization"] = f"Bearer {await self._token()}"
            return await wire.request(
                self._session,
                method,
                f"{service_url.rstrip('/')}/v3/conversations/{path}",
                clock=self._clock,
                json=body,
                headers=headers,
                timeout=20.0,
                retries=retries,
                holds=holds,
            )
        except wire.Lost as error:
            raise Undelivered("Another replica has taken over.") from error
        except wire.Unreachable as error:
            raise Undelivered("Teams could not be reached.") from error
        except CasemateError as error:
            raise Undelivered("The bot has no valid token for Teams.") from error


def _path(conversation: str) -> str:
    return quote(conversation, safe="")


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
