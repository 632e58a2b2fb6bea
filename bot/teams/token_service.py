"""Talks to the Bot Framework's token service, which keeps analysts' sign-ins and refreshes them.

Paths and shapes: botframework-connector 4.17.1, `token_api`; its own HTTP layer is not used.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import urlencode

import aiohttp
import orjson

from .. import wire
from ..domain import endpoint
from ..errors import CasemateError
from ..ports import Clock, JsonObject
from ..tokens import AccessToken

log = logging.getLogger(__name__)

_RETRIES = wire.Retries(statuses=(429, 502, 503, 504), attempts=3, longest_wait=3, total_wait=5)
# A token is never trusted for longer: a sign-out elsewhere counts within ten minutes.
_TRUSTED_SECONDS = 600.0

_DOWN = (
    "Microsoft's sign-in service for bots does not answer, so I cannot use your rights in Azure. "
    "Please try again in a minute."
)


@dataclass(frozen=True, slots=True)
class SignInResource:
    """How one may sign in: a link for a window, and what Teams exchanges without one."""

    link: str = field(repr=False)
    exchange: JsonObject | None


class TokenService:
    """One OAuth connection of the bot's. Every failure is a CasemateError.

    `token` gives the bot's own bearer token for the service, or is None where none may be sent.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        clock: Clock,
        url: str,
        connection: str,
        token: Callable[[], Awaitable[str]] | None,
        app_id: str,
    ) -> None:
        self._session = session
        self._clock = clock
        self._url = url
        self.connection = connection
        self._token = token
        self._app_id = app_id

    async def get(self, account: str, code: str = "") -> AccessToken | None:
        """The token of who signed in, or None; `code` is what completes a sign-in in a window."""
        query = self._of(account) | ({"code": code} if code else {})
        answer = await self._ask("GET", "/api/usertoken/GetToken", query)
        if answer.status == 404 or (code and answer.status == 400):
            return None
        return self._read(answer)

    async def exchange(self, account: str, token: str) -> AccessToken | None:
        """Exchange the token that Teams has of someone; None where they have to consent first."""
        answer = await self._ask(
            "POST", "/api/usertoken/exchange", self._of(account), {"token": token}
        )
        return None if answer.status in (400, 404, 412) else self._read(answer)

    async def sign_in(self, conversation: JsonObject) -> SignInResource:
        """How the user whom a conversation reference names may sign in."""
        state = {
            "connectionName": self.connection,
            "conversation": conversation,
            "msAppId": self._app_id,
        }
        encoded = base64.b64encode(orjson.dumps(state)).decode()
        answer = await self._ask("GET", "/api/botsignin/GetSignInResource", {"state": encoded})
        said = _object(answer)
        link, exchange = said.get("signInLink"), said.get("tokenExchangeResource")
        if not isinstance(link, str) or endpoint.problem(link):
            raise CasemateError(_DOWN)
        return SignInResource(
            link, cast(JsonObject, exchange) if isinstance(exchange, dict) else None
        )

    async def sign_out(self, account: str) -> None:
        """Forget who signed in."""
        answer = await self._ask("DELETE", "/api/usertoken/SignOut", self._of(account))
        if answer.status not in (200, 204, 404):
            raise CasemateError(_DOWN)

    def _of(self, account: str) -> dict[str, str]:
        return {"userId": account, "connectionName": self.connection, "channelId": "msteams"}

    def _read(self, answer: wire.Answer) -> AccessToken:
        token = _object(answer).get("token")
        if not isinstance(token, str) or not token:
            raise CasemateError(_DOWN)
        trusted = self._clock.now().timestamp() + _TRUSTED_SECONDS
        try:
            said = datetime.fromisoformat(_object(answer)["expiration"])
        except (KeyError, TypeError, ValueError):  # not every connection says it
            return AccessToken(token, trusted)
        ends = said if said.tzinfo else said.replace(tzinfo=UTC)
        return AccessToken(token, min(trusted, ends.timestamp()))

    async def _ask(
        self, method: str, path: str, query: dict[str, str], body: JsonObject | None = None
    ) -> wire.Answer:
        headers = {"Authorization": f"Bearer {await self._token()}"} if self._token else {}
        try:
            return await wire.request(
                self._session,
                method,
                f"{self._url}{path}?{urlencode(query)}",
                clock=self._clock,
                json=body,
                headers=headers,
                timeout=5.0,
                retries=_RETRIES,
            )
        except wire.Unreachable:
            raise CasemateError(_DOWN) from None


def _object(answer: wire.Answer) -> dict[str, Any]:
    """A success's JSON object; raises CasemateError for everything else."""
    data = answer.json
    if answer.status != 200 or not isinstance(data, dict):
        log.warning("the token service refuses (status %d, %s)", answer.status, answer.error[0])
        raise CasemateError(_DOWN)
    return cast(dict[str, Any], data)
