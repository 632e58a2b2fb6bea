"""Keeps the tokens that carry analysts' own rights: in memory, a few, for minutes."""

from __future__ import annotations

import base64
from typing import Any, cast

import orjson

from ..domain.people import Analyst
from ..domain.recent import Recent
from ..errors import CasemateError, SignInNeeded
from ..ports import Clock
from ..tokens import AccessToken, Tokens
from .token_service import TokenService

_KEPT = 1_000

NEEDED = (
    "I work with your own rights in Azure, so please sign in first: "
    "open a chat with me alone and say `sign in`."
)
_SOMEBODY_ELSE = (
    "You signed in to Azure as somebody else than you are in Teams. Please say `sign out`, "
    "and sign in with your own account."
)


class AnalystTokens:
    """Analysts' tokens, as `ports.rights.SignIns` asks for them.

    Keyed by tenant and analyst; renewed through the token service, which holds the sign-ins.
    """

    def __init__(self, service: TokenService, clock: Clock) -> None:
        self.service = service
        self._clock = clock
        self._kept = Recent[tuple[str, str], Tokens](_KEPT)

    async def token(self, analyst: Analyst) -> str:
        """A token that carries this analyst's rights. Raises SignInNeeded and CasemateError."""
        key = analyst.tenant, analyst.id
        tokens = self._kept.pop(key, None) or Tokens(
            _SignedIn(self.service, analyst), self.service.connection, self._clock
        )
        self._kept[key] = tokens
        return await tokens()

    async def sign_out(self, analyst: Analyst) -> None:
        """Forget the analyst's sign-in, here and at the token service."""
        self.forget(analyst)
        await self.service.sign_out(analyst.account)

    def forget(self, analyst: Analyst) -> None:
        """Forget what is kept here: the token service is asked again."""
        self._kept.pop((analyst.tenant, analyst.id), None)


class _SignedIn:
    """One analyst's sign-in as a credential; the scope is the connection's."""

    def __init__(self, service: TokenService, analyst: Analyst) -> None:
        self._service = service
        self._analyst = analyst

    async def get_token(self, scope: str) -> AccessToken:
        got = await self._service.get(self._analyst.account)
        if got is None:
            raise SignInNeeded(NEEDED)
        if (owner := _owner(got.token)) and owner != self._analyst.id.lower():
            raise CasemateError(_SOMEBODY_ELSE)
        return got

    async def close(self) -> None:
        pass


def _owner(token: str) -> str:
    """The object id that a token names; "" where it is none that can be read.

    Only to compare with what Teams says: whether the token is good is for Azure to check.
    """
    try:
        payload = token.split(".")[1]
        claims: Any = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError):
        return ""
    found = cast(dict[str, Any], claims).get("oid") if isinstance(claims, dict) else None
    return found.lower() if isinstance(found, str) else ""
