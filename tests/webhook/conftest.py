"""The webhook by itself over HTTP, with an Entra ID of its own behind it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import ClientSession, web

from bot.domain.incident import IncidentRef, Workspace
from bot.signing import SigningKeys
from bot.webhook.edge import Webhook
from bot.webhook.tokens import EntraTokens, openid_metadata
from tests.clock import FakeClock
from tests.teams.conftest import serve
from tests.teams.identity_provider import IdentityProvider

TENANT, CLIENT, CALLER, SECOND, STRANGER, SUBSCRIPTION, GUID, INCIDENT = (
    f"{digit * 8}-{digit * 4}-4{digit * 3}-8{digit * 3}-{digit * 12}" for digit in "1234567a"
)
WORKSPACE = Workspace("soc", SUBSCRIPTION, "soc-rg", "soc-logs", GUID)
# Of another customer, in a subscription of its own.
SECOND_WORKSPACE = Workspace("fabrikam", GUID, "soc-rg", "soc-logs", CLIENT)
REF = IncidentRef("soc", INCIDENT)
V1 = f"https://sts.windows.net/{TENANT}/"
URI = f"api://{CLIENT}"


def arm_id(
    incident: str = INCIDENT,
    *,
    subscription: str = SUBSCRIPTION,
    group: str = "soc-rg",
    workspace: str = "soc-logs",
) -> str:
    return (
        f"/subscriptions/{subscription}/resourceGroups/{group}/providers"
        f"/Microsoft.OperationalInsights/workspaces/{workspace}/providers"
        f"/Microsoft.SecurityInsights/Incidents/{incident}"
    )


def trigger(id: Any = None) -> dict[str, Any]:
    """What the playbook forwards, without what is not looked at."""
    return {
        "objectSchemaType": "Incident",
        "objectEventType": "Create",
        "object": {"id": arm_id() if id is None else id, "properties": {"title": "Sign-in"}},
    }


@dataclass
class Hook:
    """A webhook, what it was told of, and what Entra ID would say of who tells it."""

    http: ClientSession
    clock: FakeClock
    issuer: IdentityProvider
    url: str = ""
    arrived: list[IncidentRef] = field(default_factory=list)
    failure: Exception | None = None

    async def arrive(self, incident: IncidentRef) -> None:
        if self.failure is not None:
            raise self.failure
        self.arrived.append(incident)

    def token(self, version: int = 1, **changes: Any) -> str:
        """A managed identity's token; None takes a claim out, `key`, `header` change the rest."""
        v1 = {"iss": V1, "aud": URI, "ver": "1.0", "appid": STRANGER, "idtyp": "app"}
        v2 = {"iss": f"{self.issuer.url}/{TENANT}/v2.0", "aud": CLIENT, "ver": "2.0"}
        claims = {"tid": TENANT, "oid": CALLER, "sub": CALLER, "serviceurl": None}
        return self.issuer.token("", **{**claims, **(v1 if version == 1 else v2), **changes})

    async def post(
        self, token: str | None = None, headers: dict[str, str] | None = None, **options: Any
    ) -> tuple[int, Any, dict[str, str]]:
        """POST to /api/incidents: status, parsed body, headers."""
        headers = {**(headers or {}), **({"Authorization": f"Bearer {token}"} if token else {})}
        options = options or {"json": trigger()}
        async with self.http.post(
            f"{self.url}/api/incidents", headers=headers, **options
        ) as response:
            text = await response.text()
            return response.status, await response.json() if text else None, {**response.headers}

    async def refused(self, status: int, token: str | None = None, **options: Any) -> str:
        """Post, and see that it was turned away with a sentence and nothing came of it."""
        got, body, headers = await self.post(token, **options)
        assert got == status, body
        assert list(body) == ["error"]
        assert body["error"].endswith(".")
        assert ("WWW-Authenticate" in headers) == (status == 401)
        assert self.arrived == []
        return body["error"]


Start = Callable[..., Awaitable[Hook]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    async with AsyncExitStack() as stack:

        async def start(
            *, local: bool = False, audience: str = URI, callers: tuple[str, ...] = (CALLER, SECOND)
        ) -> Hook:
            session = await stack.enter_async_context(ClientSession())
            hook = Hook(session, FakeClock(), IdentityProvider())
            hook.issuer.url = await serve(stack, hook.issuer.app)
            authority = f"{hook.issuer.url}/"
            keys = SigningKeys(session, openid_metadata(authority, TENANT), hook.clock)
            tokens = EntraTokens(keys, authority, TENANT, audience, callers)
            app = web.Application()
            webhook = Webhook(None if local else tokens, hook.arrive, (WORKSPACE, SECOND_WORKSPACE))
            app.router.add_post("/api/incidents", webhook.incidents)
            hook.url = await serve(stack, app)
            return hook

        yield start


@pytest.fixture
async def hook(start: Start) -> Hook:
    """A webhook that is set up, outside local mode."""
    return await start()


def seconds_from_now(seconds: int) -> int:
    return int(time.time()) + seconds
