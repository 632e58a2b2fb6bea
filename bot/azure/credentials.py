"""Gets Entra ID tokens for the services Casemate calls, as the identity it was given.

One credential a process and identity, one `Tokens` for each service it is used with. Nothing here
shows a secret or a token in a repr, an error or a log. Every failure is a CasemateError.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, urlsplit

import aiohttp

from ..domain.endpoint import is_loopback, takes_token
from ..errors import CasemateError
from ..ports import Clock
from ..settings import Settings
from ..tokens import UNAVAILABLE, AccessToken, Credential, Tokens
from ..wire import Answer

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

MODEL_SCOPE = "https://ai.azure.com/.default"
CONNECTOR_SCOPE = "https://api.botframework.com/.default"
PUBLIC_AUTHORITY = "https://login.microsoftonline.com"


def arm_scope(endpoint: str) -> str:
    """Name the scope of Azure Resource Manager at this address: each cloud's is its own host."""
    return f"https://{urlsplit(endpoint).hostname}/.default"


def logs_scope(endpoint: str) -> str:
    """Name the scope of Log Analytics at this address; the public cloud's is its older host."""
    host = urlsplit(endpoint).hostname
    public = host == "api.loganalytics.azure.com"
    return f"https://{'api.loganalytics.io' if public else host}/.default"


def store_scope(url: str) -> str:
    """Name the scope of a Cosmos DB account: each account is its own resource."""
    return f"https://{urlsplit(url).hostname}/.default"


@dataclass(frozen=True, slots=True)
class BotIdentity:
    """The bot's registration in Entra ID; `app_type` is `SingleTenant` or `UserAssignedMSI`."""

    app_id: str
    tenant_id: str = ""
    app_type: str = "SingleTenant"
    secret: str = field(default="", repr=False)
    authority: str = PUBLIC_AUTHORITY


async def credential(
    identity: BotIdentity | None, session: aiohttp.ClientSession, clock: Clock
) -> Credential:
    """Make the credential of this process.

    That is the bot's managed identity, or its secret; without either (local mode against real
    Azure endpoints) it is whoever is signed in on this machine.
    """
    authority = identity.authority if identity else ""
    if identity and identity.secret and is_loopback(authority) and not takes_token(authority):
        return _LoopbackSecret(identity, session, clock)
    # Importing azure-identity takes a quarter of a second, and runs a program to name the machine.
    return await asyncio.to_thread(_azure_credential, identity)


def _azure_credential(identity: BotIdentity | None) -> Credential:
    from azure.identity import aio

    if identity and identity.app_type == "UserAssignedMSI":
        return _Azure(aio.ManagedIdentityCredential(client_id=identity.app_id))
    if not identity or not identity.secret:
        return _Azure(aio.DefaultAzureCredential())
    authority = identity.authority.rstrip("/")
    return _Azure(
        aio.ClientSecretCredential(
            identity.tenant_id,
            identity.app_id,
            identity.secret,
            authority=authority,
            disable_instance_discovery=authority != PUBLIC_AUTHORITY,
        )
    )


async def tokens_for(
    settings: Settings, session: aiohttp.ClientSession, clock: Clock, parts: AsyncExitStack
) -> dict[str, Tokens]:
    """One token for each scope that is needed, from one credential, which closes with `parts`.

    Services on loopback take no token, nor does a model or a store that has a key.
    """
    wanted = {
        MODEL_SCOPE: takes_token(settings.model_base_url) and not settings.model_api_key,
        arm_scope(settings.arm_endpoint): takes_token(settings.arm_endpoint),
        logs_scope(settings.log_analytics_endpoint): takes_token(settings.log_analytics_endpoint),
        CONNECTOR_SCOPE: not settings.local_mode,
        store_scope(settings.store.url): takes_token(settings.store.url) and not settings.store.key,
    }
    if not any(wanted.values()):
        return {}
    made = await credential(_identity(settings), session, clock)
    parts.push_async_callback(made.close)
    return {scope: Tokens(made, scope, clock) for scope, needed in wanted.items() if needed}


def _identity(settings: Settings) -> BotIdentity | None:
    if settings.local_mode:
        return None
    return BotIdentity(
        settings.bot_app_id,
        settings.bot_tenant_id,
        settings.bot_app_type,
        settings.bot_app_password,
        settings.entra_authority,
    )


class _Azure:
    """A credential of azure-identity whose errors are ours."""

    def __init__(self, credential: AsyncTokenCredential) -> None:
        from azure.core.exceptions import AzureError

        self._credential = credential
        self._failure = AzureError

    async def get_token(self, scope: str) -> AccessToken:
        try:
            got = await self._credential.get_token(scope)
        except self._failure as error:
            # Not chained: azure-core's errors hold the request, and with it the secret.
            raise CasemateError(_sentence(str(error))) from None
        return AccessToken(got.token, got.expires_on)

    async def close(self) -> None:
        await self._credential.close()


class _LoopbackSecret:
    """Client credentials over plain http on loopback, which azure-identity refuses: for tests."""

    def __init__(self, identity: BotIdentity, session: aiohttp.ClientSession, clock: Clock) -> None:
        self._identity = identity
        self._session = session
        self._clock = clock

    async def get_token(self, scope: str) -> AccessToken:
        it = self._identity
        url = f"{it.authority.rstrip('/')}/{quote(it.tenant_id, safe='')}/oauth2/v2.0/token"
        form = {
            "grant_type": "client_credentials",
            "client_id": it.app_id,
            "client_secret": it.secret,
            "scope": scope,
        }
        try:
            async with self._session.post(url, data=form, allow_redirects=False) as response:
                answer = Answer(response.status, response.headers, await response.read())
        except (aiohttp.ClientError, OSError):
            raise CasemateError(UNAVAILABLE) from None
        data: Any = answer.json
        said = cast(dict[str, Any], data) if isinstance(data, dict) else {}
        token, lifetime = said.get("access_token"), said.get("expires_in")
        if answer.status != 200 or not isinstance(token, str) or not isinstance(lifetime, int):
            raise CasemateError(_sentence(answer.error[1]))
        return AccessToken(token, self._clock.now().timestamp() + lifetime)

    async def close(self) -> None:
        pass


def _sentence(message: str) -> str:
    """Entra ID's own code is all of its message that is repeated: the rest may hold anything."""
    if not (code := re.search(r"AADSTS\d{3,9}", message)):
        return UNAVAILABLE
    return (
        f"I cannot sign in to Azure: Entra ID refuses my identity ({code[0]}). Please ask whoever "
        "runs Casemate to check the bot's app id, its secret and the tenant."
    )
