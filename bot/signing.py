"""Decides whether a bearer token is signed by an issuer: RS256 against its published keys.

A key that is not known is looked up again, at most every few seconds, so that a rotation is
followed and a stranger costs nothing. What the claims must say beyond issuer, audience and time
is for the edges that ask.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import aiohttp
import jwt

from . import wire
from .domain import endpoint
from .errors import NotAuthenticated, TooBusy
from .ports import Clock, JsonObject

log = logging.getLogger(__name__)

LEEWAY_SECONDS = 300
REFETCH_SECONDS = 5.0
KEYS_FRESH_SECONDS = 12 * 3600.0


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A published key and the channels it may sign for (`None`: the document does not say)."""

    key: Any
    endorsements: frozenset[str] | None


class SigningKeys:
    """The issuer's keys by `kid`, fetched without blocking and kept."""

    def __init__(self, session: aiohttp.ClientSession, metadata_url: str, clock: Clock) -> None:
        self._session = session
        self._metadata_url = metadata_url
        self._clock = clock
        self._keys: Mapping[str, SigningKey] = {}
        self._fetched = float("-inf")
        self._tried = float("-inf")
        self._lock = asyncio.Lock()

    async def find(self, kid: str) -> SigningKey | None:
        """Look a key up, asking the issuer where it is unknown or the keys are old.

        Raises TooBusy when no keys could be had at all.
        """
        fresh = self._clock.monotonic() - self._fetched < KEYS_FRESH_SECONDS
        # While one request asks the issuer, however slowly, the others go on with the old keys.
        if kid in self._keys and (fresh or self._lock.locked()):
            return self._keys[kid]
        async with self._lock:
            if self._clock.monotonic() - self._tried >= REFETCH_SECONDS:
                await self._fetch()
                # Counted from its end: those who waited need no fetch of their own.
                self._tried = self._clock.monotonic()
        if not self._keys:
            raise TooBusy("The signing keys cannot be read at the moment.")
        return self._keys.get(kid)

    async def _fetch(self) -> None:
        try:
            metadata = await self._document(self._metadata_url)
            jwks_uri = str(metadata.get("jwks_uri", ""))
            if endpoint.problem(jwks_uri):
                raise wire.Unreachable("the metadata names no usable key address")
            found = await self._document(jwks_uri)
        except wire.Unreachable as error:
            log.warning("signing keys could not be fetched: %s", error)
            return
        listed = found.get("keys")
        entries = cast(list[Any], listed) if isinstance(listed, list) else []
        keys = {kid: key for kid, key in map(_parse_key, entries) if kid and key}
        if keys:
            self._keys = keys
            self._fetched = self._clock.monotonic()

    async def _document(self, url: str) -> JsonObject:
        answer = await wire.request(self._session, "GET", url, clock=self._clock, timeout=5.0)
        data = answer.json
        if answer.status != 200 or not isinstance(data, dict):
            raise wire.Unreachable(f"status {answer.status}")
        return cast(JsonObject, data)


def _parse_key(entry: Any) -> tuple[str, SigningKey | None]:
    if not isinstance(entry, dict):
        return "", None
    fields = cast(JsonObject, entry)
    try:
        key = jwt.PyJWK(fields, algorithm="RS256").key
    except jwt.PyJWTError:
        return "", None
    listed = fields.get("endorsements")
    endorsements = (
        frozenset(str(each) for each in cast(list[Any], listed))
        if isinstance(listed, list)
        else None
    )
    return str(fields.get("kid", "")), SigningKey(key, endorsements)


@lru_cache(maxsize=64)
def _header(encoded: str) -> JsonObject:
    """What a token says it is signed with; an issuer's tokens all begin with the same bytes.

    PyJWT reads the whole token for it, a third of the CPU time that verifying one takes.
    """
    return jwt.get_unverified_header(f"{encoded}..")


async def verified(
    keys: SigningKeys, authorization: str, *, issuers: Collection[str], audiences: Collection[str]
) -> tuple[JsonObject, SigningKey]:
    """Verify an `Authorization` header: the token's claims and the key that signed it.

    The token needs `exp`, one of the issuers, and exactly one audience, which is one of these.
    Raises NotAuthenticated, and TooBusy while the issuer's keys cannot be had.
    """
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise NotAuthenticated("A bearer token is needed.")
    try:
        header = _header(token.partition(".")[0])
        kid = header.get("kid")
        if header.get("alg") != "RS256" or not isinstance(kid, str):
            raise NotAuthenticated("The token is not signed as its issuer signs.")
        key = await keys.find(kid)
        if key is None:
            raise NotAuthenticated("The token is signed with a key that is not known.")
        claims = jwt.decode(
            token,
            key.key,
            algorithms=["RS256"],
            issuer=tuple(issuers),
            leeway=LEEWAY_SECONDS,
            # PyJWT would take a list of audiences with ours in it; a token is for one service.
            options={"require": ["exp", "iss", "aud"], "verify_aud": False},
        )
    except (jwt.PyJWTError, ValueError) as error:
        raise NotAuthenticated("The token is not valid.") from error
    if not isinstance(claims["aud"], str) or claims["aud"] not in audiences:
        raise NotAuthenticated("The token was issued for another service.")
    return claims, key
