"""A loopback OpenID issuer: the Bot Framework and Entra ID, their metadata, keys and tokens.

It counts what is fetched, and can be slow, broken or down. Keys are made once a session.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections import Counter
from functools import cache
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

ISSUER = "https://api.botframework.com"
APP_ID = "11111111-1111-4111-8111-111111111111"
TENANT = "33333333-3333-4333-8333-333333333333"
BOT_TOKEN = "the-bot-s-own-token"


@cache
def private_key(name: str) -> rsa.RSAPrivateKey:
    """An RSA key by name, the same one for the whole session."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public_pem(name: str) -> bytes:
    return (
        private_key(name)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def jwk(name: str, **changes: Any) -> dict[str, Any]:
    """The public half as the Bot Framework publishes it, with the channels it may sign for."""
    key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(private_key(name).public_key()))
    return {
        "kty": "RSA",
        "use": "sig",
        "kid": name,
        "n": key["n"],
        "e": key["e"],
        "endorsements": ["msteams", "webchat"],
        **changes,
    }


def encode_unsigned(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    """A token put together by hand, for what no library would sign."""
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(each).rstrip(b"=").decode() for each in parts)


class IdentityProvider:
    """Mount `app`; then change `keys`, `status`, `jwks_uri` or `hold` as a test needs."""

    def __init__(self) -> None:
        self.url = ""
        self.keys: list[Any] = [jwk("first")]
        self.status = 200
        self.lifetime = 3600
        self.jwks_uri = ""
        self.body: bytes | None = None
        self.open = asyncio.Event()
        self.open.set()
        self.asked = asyncio.Event()
        self.fetched: Counter[str] = Counter()
        self.token_requests: list[dict[str, str]] = []
        self.app = web.Application()
        self.app.router.add_get("/openid", self._metadata)
        self.app.router.add_get("/{tenant}/v2.0/.well-known/openid-configuration", self._metadata)
        self.app.router.add_get("/keys", self._keys)
        self.app.router.add_post("/{tenant}/oauth2/v2.0/token", self._token)

    @property
    def metadata_url(self) -> str:
        return f"{self.url}/openid"

    def claims(self, service_url: str, **changes: Any) -> dict[str, Any]:
        """What a channel's token says; None takes a claim out."""
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": APP_ID,
            "serviceurl": service_url,
            "nbf": now - 60,
            "exp": now + 3600,
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(
        self,
        service_url: str,
        *,
        key: str = "first",
        algorithm: str = "RS256",
        header: dict[str, Any] | None = None,
        **changes: Any,
    ) -> str:
        """A signed token; `header` overrides the header, None there takes `kid` out."""
        headers = {"kid": key, **(header or {})}
        headers = {name: value for name, value in headers.items() if value is not None}
        return jwt.encode(
            self.claims(service_url, **changes), private_key(key), algorithm, headers=headers
        )

    async def _metadata(self, request: web.Request) -> web.Response:
        self.fetched["metadata"] += 1
        self.asked.set()
        await self.open.wait()
        if self.body is not None:
            return web.Response(body=self.body, content_type="application/json")
        return web.json_response(
            {
                "issuer": ISSUER,
                "jwks_uri": self.jwks_uri or f"{self.url}/keys",
                "id_token_signing_alg_values_supported": ["RS256"],
            },
            status=self.status,
        )

    async def _keys(self, request: web.Request) -> web.Response:
        self.fetched["keys"] += 1
        return web.json_response({"keys": self.keys})

    async def _token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.token_requests.append({"tenant": request.match_info["tenant"], **form})
        return web.json_response(
            {"token_type": "Bearer", "expires_in": self.lifetime, "access_token": BOT_TOKEN}
        )
