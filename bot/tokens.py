"""Keeps a bearer token at hand: asked for once, shared, renewed ahead of its end.

What proves the identity is an adapter's: the bot's own (`bot.azure.credentials`) or an analyst's
(`bot.teams.sign_in`).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Protocol

from .errors import CasemateError, SignInNeeded
from .ports import Clock

_AHEAD = 300.0  # seconds before its end at which a token is replaced
_PAUSE = 30.0  # seconds between attempts to replace a token that still works
_TIMEOUT = 20.0

UNAVAILABLE = (
    "I cannot sign in to Azure: Entra ID gave me no token. Please try again in a minute; if it "
    "lasts, whoever runs Casemate should check its identity."
)


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A bearer token and its end, in seconds of Unix time."""

    token: str = field(repr=False)
    expires_on: float


class Credential(Protocol):
    """What proves an identity to Entra ID."""

    async def get_token(self, scope: str) -> AccessToken:
        """Get a token for a scope; raises CasemateError."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class Tokens:
    """Gives a bearer token for one scope each time it is called, asking Entra ID only at times.

    Callers at the same moment share one request. Five minutes before its end a token is replaced
    while callers go on with it, to its end where that fails. Raises CasemateError; after a
    SignInNeeded nothing of the old token is used on.
    """

    def __init__(self, credential: Credential, scope: str, clock: Clock) -> None:
        self._credential = credential
        self._scope = scope
        self._clock = clock
        self._current = AccessToken("", 0.0)
        self._next_request = 0.0
        self._request: asyncio.Task[None] | None = None

    async def __call__(self) -> str:
        """Give a token that is good now."""
        ends, now = self._current.expires_on, self._now()
        if now < ends:
            if now >= max(ends - _AHEAD, self._next_request):
                self._renewing(now)
            return self._current.token
        # A caller who gives up must not take the token from the others.
        await asyncio.shield(self._renewing(now))
        return self._current.token

    def _renewing(self, now: float) -> asyncio.Task[None]:
        """The request that is under way, or a new one."""
        if self._request is None or self._request.done():
            self._next_request = now + _PAUSE
            self._request = asyncio.create_task(self._renew())
            self._request.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._request

    async def _renew(self) -> None:
        try:
            async with asyncio.timeout(_TIMEOUT):
                self._current = await self._credential.get_token(self._scope)
        except TimeoutError:
            raise CasemateError(UNAVAILABLE) from None
        except SignInNeeded:
            self._current = AccessToken("", 0.0)
            raise

    def _now(self) -> float:
        return self._clock.now().timestamp()
