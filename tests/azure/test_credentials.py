import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bot.azure.credentials import (
    CONNECTOR_SCOPE,
    MODEL_SCOPE,
    BotIdentity,
    arm_scope,
    credential,
    logs_scope,
    tokens_for,
)
from bot.errors import CasemateError, SignInNeeded
from bot.settings import Settings
from bot.tokens import AccessToken, Tokens
from tests.clock import FakeClock

SECRET = "s3cr3t~value"


class Entra:
    """Entra ID's token endpoint and App Service's identity endpoint, both over loopback."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Any]] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.gate: asyncio.Event | None = None

    async def serve(self, request: web.Request) -> web.Response:
        form = {key: str(value) for key, value in (await request.post()).items()}
        self.requests.append((request.path, form or dict(request.query)))
        if self.gate:
            await self.gate.wait()
        status, body = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        return web.Response(status=status, body=raw, content_type="application/json")


def good(token: str = "t1", lifetime: Any = 3600) -> tuple[int, Any]:
    return 200, {"access_token": token, "expires_in": lifetime, "token_type": "Bearer"}


@pytest.fixture
def entra() -> Entra:
    return Entra()


@pytest.fixture
async def authority(entra: Entra) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", entra.serve)
    async with TestServer(app) as server:
        yield str(server.make_url("/"))


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def tokens(authority: str, session: aiohttp.ClientSession, clock: FakeClock) -> Tokens:
    identity = BotIdentity("app-1", "tenant-1", secret=SECRET, authority=authority)
    return Tokens(await credential(identity, session, clock), MODEL_SCOPE, clock)


# --- the token endpoint over loopback ------------------------------------------------------------


async def test_client_credentials_are_exchanged_for_a_token(tokens, entra):
    entra.answers = [good()]
    assert await tokens() == "t1"
    assert entra.requests == [
        (
            "/tenant-1/oauth2/v2.0/token",
            {
                "grant_type": "client_credentials",
                "client_id": "app-1",
                "client_secret": SECRET,
                "scope": "https://ai.azure.com/.default",
            },
        )
    ]


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (
            (401, {"error": "invalid_client", "error_description": f"AADSTS7000215: {SECRET}"}),
            "AADSTS7000215",
        ),
        ((400, {"error": "invalid_request"}), "no token"),
        ((500, b"<html>"), "no token"),
        ((302, b""), "no token"),
        ((200, b""), "no token"),
        ((200, []), "no token"),
        ((200, {"access_token": 1, "expires_in": 3600}), "no token"),
        (good(lifetime="soon"), "no token"),
    ],
)
async def test_a_refusal_is_a_sentence_without_the_secret(tokens, entra, answer, sentence):
    entra.answers = [answer]
    with pytest.raises(CasemateError, match=sentence) as caught:
        await tokens()
    assert SECRET not in f"{caught.value!r} {caught.value} {caught.value.__cause__!r}"


async def test_nobody_there_is_a_sentence(session, clock, unused_tcp_port):
    authority = f"http://127.0.0.1:{unused_tcp_port}"
    identity = BotIdentity("app-1", "tenant-1", secret=SECRET, authority=authority)
    with pytest.raises(CasemateError, match="no token"):
        await Tokens(await credential(identity, session, clock), MODEL_SCOPE, clock)()


# --- keeping a token -----------------------------------------------------------------------------


async def renewed(entra: Entra, requests: int) -> None:
    """Wait for a renewal that nobody waits for: the request, and what comes of its answer."""
    for _ in range(500):
        await asyncio.sleep(0.002)
        if len(entra.requests) >= requests:
            break
    await asyncio.sleep(0.02)


async def test_a_token_is_kept_until_five_minutes_before_its_end(tokens, entra, clock):
    entra.answers = [good("t1"), good("t2")]
    assert await tokens() == "t1"
    await clock.advance(3299)
    assert (await tokens(), len(entra.requests)) == ("t1", 1)
    await clock.advance(2)
    assert await tokens() == "t1", "nobody waits for the next one"
    await renewed(entra, 2)
    assert (await tokens(), len(entra.requests)) == ("t2", 2)


async def test_callers_at_once_share_one_request_and_its_failure(tokens, entra):
    entra.answers = [good()]
    assert await asyncio.gather(*(tokens() for _ in range(20))) == ["t1"] * 20
    assert len(entra.requests) == 1


async def test_callers_at_once_share_one_failure(tokens, entra):
    entra.answers = [(500, b"")]
    failures = await asyncio.gather(*(tokens() for _ in range(5)), return_exceptions=True)
    assert {type(failure) for failure in failures} == {CasemateError}
    assert len(entra.requests) == 1
    entra.answers = [good()]
    assert await tokens() == "t1"


async def test_a_caller_who_gives_up_takes_nothing_from_the_others(tokens, entra):
    entra.answers, entra.gate = [good()], asyncio.Event()
    first, second = asyncio.create_task(tokens()), asyncio.create_task(tokens())
    await asyncio.sleep(0)
    first.cancel()
    entra.gate.set()
    assert await second == "t1"
    with pytest.raises(asyncio.CancelledError):
        await first
    assert len(entra.requests) == 1


async def test_a_token_that_still_works_is_used_while_entra_fails(tokens, entra, clock):
    entra.answers = [good("t1"), (500, b""), (500, b""), good("t2")]
    await tokens()
    await clock.advance(3400)
    assert [await tokens() for _ in range(9)] == ["t1"] * 9
    await renewed(entra, 2)
    assert await tokens() == "t1"
    assert len(entra.requests) == 2, "half a minute passes before Entra is asked again"
    await clock.advance(31)
    assert await tokens() == "t1"
    await renewed(entra, 3)
    await clock.advance(31)
    assert await tokens() == "t1"
    await renewed(entra, 4)
    assert (await tokens(), len(entra.requests)) == ("t2", 4)


async def test_a_token_at_its_end_is_never_used(tokens, entra, clock):
    entra.answers = [good("t1"), (500, b"")]
    await tokens()
    await clock.advance(3600)
    with pytest.raises(CasemateError):
        await tokens()


class Leaving:
    """An analyst who is signed in once, and then no more."""

    def __init__(self, clock: FakeClock) -> None:
        self._signed_in = [AccessToken("t1", clock.now().timestamp() + 600)]

    async def get_token(self, scope: str) -> AccessToken:
        if self._signed_in:
            return self._signed_in.pop()
        raise SignInNeeded("Please sign in.")

    async def close(self) -> None: ...


async def test_nothing_of_a_token_is_used_once_its_owner_signed_out_elsewhere(clock):
    tokens = Tokens(Leaving(clock), "connection", clock)
    assert await tokens() == "t1"
    await clock.advance(301)
    await tokens()
    await asyncio.sleep(0)
    with pytest.raises(SignInNeeded):
        await tokens()


class Slow:
    """A credential that never answers in time."""

    async def get_token(self, scope: str) -> AccessToken:
        raise TimeoutError

    async def close(self) -> None: ...


async def test_a_silent_entra_is_a_sentence(clock):
    with pytest.raises(CasemateError, match="no token"):
        await Tokens(Slow(), MODEL_SCOPE, clock)()


# --- which identity ------------------------------------------------------------------------------


async def test_a_managed_identity_is_asked_by_its_client_id(
    monkeypatch, authority, entra, session, clock
):
    # What App Service sets for azure-identity, which is the one that reads it.
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{authority}msi")
    monkeypatch.setenv("IDENTITY_HEADER", "h")
    expires = int(clock.now().timestamp()) + 86_400
    entra.answers = [(200, {"access_token": "m1", "expires_on": str(expires), "resource": "r"})]
    identity = await credential(BotIdentity("app-1", app_type="UserAssignedMSI"), session, clock)
    assert await Tokens(identity, arm_scope("https://management.azure.com/"), clock)() == "m1"
    [(path, query)] = entra.requests
    assert (path, query["client_id"]) == ("/msi", "app-1")
    assert query["resource"] == "https://management.azure.com"
    await identity.close()


async def test_a_managed_identitys_refusal_is_a_sentence(
    monkeypatch, authority, entra, session, clock
):
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{authority}msi")
    monkeypatch.setenv("IDENTITY_HEADER", "h")
    entra.answers = [(400, {"statusCode": 400, "message": "AADSTS700016: No managed identity"})]
    identity = await credential(BotIdentity("app-1", app_type="UserAssignedMSI"), session, clock)
    with pytest.raises(CasemateError, match="AADSTS700016") as caught:
        await Tokens(identity, MODEL_SCOPE, clock)()
    assert caught.value.__cause__ is None
    await identity.close()


@pytest.mark.parametrize(
    ("identity", "kind"),
    [
        (BotIdentity("a", app_type="UserAssignedMSI"), "ManagedIdentityCredential"),
        (BotIdentity("a", "t", secret="s"), "ClientSecretCredential"),
        (
            BotIdentity("a", "t", secret="s", authority="https://login.microsoftonline.us/"),
            "ClientSecretCredential",
        ),
        (None, "DefaultAzureCredential"),
        (BotIdentity("a", "t"), "DefaultAzureCredential"),
    ],
)
async def test_each_identity_has_its_credential(session, clock, identity, kind):
    made = await credential(identity, session, clock)
    assert type(made._credential).__name__ == kind
    await made.close()


async def test_a_loopback_credential_leaves_the_shared_session_open(session, clock):
    identity = BotIdentity("a", "t", secret="s", authority="http://localhost:1")
    await (await credential(identity, session, clock)).close()
    assert not session.closed


@pytest.mark.parametrize(
    ("endpoint", "scope"),
    [
        ("https://management.azure.com", "https://management.azure.com/.default"),
        ("https://management.usgovcloudapi.net/", "https://management.usgovcloudapi.net/.default"),
        (
            "https://management.chinacloudapi.cn:443/",
            "https://management.chinacloudapi.cn/.default",
        ),
    ],
)
def test_each_clouds_resource_manager_has_its_own_scope(endpoint, scope):
    assert arm_scope(endpoint) == scope


async def test_neither_secret_nor_token_shows(tokens, entra, authority, session, clock):
    entra.answers = [good("t0k3n")]
    await tokens()
    identity = BotIdentity("a", "t", secret=SECRET, authority=authority)
    made = await credential(identity, session, clock)
    shown = f"{identity!r} {made!r} {tokens!r} {vars(tokens)!r}"
    assert SECRET not in shown
    assert "t0k3n" not in shown
    assert CONNECTOR_SCOPE == "https://api.botframework.com/.default"


@pytest.mark.parametrize(
    ("endpoint", "scope"),
    [
        ("https://api.loganalytics.azure.com", "https://api.loganalytics.io/.default"),
        ("https://api.loganalytics.io/v1", "https://api.loganalytics.io/.default"),
        ("https://api.loganalytics.us", "https://api.loganalytics.us/.default"),
        ("https://api.loganalytics.azure.cn", "https://api.loganalytics.azure.cn/.default"),
    ],
)
def test_each_cloud_s_logs_have_their_own_scope(endpoint, scope):
    assert logs_scope(endpoint) == scope


@pytest.mark.parametrize(
    ("store", "asked"),
    [
        ({}, False),
        ({"COSMOS_KEY": "c2VjcmV0"}, False),
        ({"STORE_URL": "https://soc.documents.azure.com:443/"}, True),
        ({"STORE_URL": "https://soc.documents.azure.com/", "COSMOS_KEY": "c2VjcmV0"}, False),
        ({"STORE_URL": "http://127.0.0.1:8081/", "COSMOS_KEY": "c2VjcmV0"}, False),
    ],
)
async def test_a_cosmos_account_without_a_key_is_asked_a_token_for(
    session, clock, authority, store, asked
):
    guid = "11111111-1111-4111-8111-111111111111"
    environment = {
        "BOT_APP_ID": guid,
        "BOT_TENANT_ID": guid,
        "BOT_APP_PASSWORD": SECRET,
        "ENTRA_AUTHORITY": authority,
        "AZURE_OPENAI_BASE_URL": "http://127.0.0.1:1/",
        "SENTINEL_SUBSCRIPTION_ID": guid,
        "SENTINEL_RESOURCE_GROUP": "soc",
        "SENTINEL_WORKSPACE": "soc",
        "SENTINEL_WORKSPACE_ID": guid,
        **store,
    }
    async with AsyncExitStack() as parts:
        found = await tokens_for(Settings.from_env(environment), session, clock, parts)
    assert ("https://soc.documents.azure.com/.default" in found) == asked
    assert "https://management.azure.com/.default" in found
