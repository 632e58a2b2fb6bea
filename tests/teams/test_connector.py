"""What goes to Teams' connector: where, with which token, and what the SDK makes of it."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiohttp import ClientSession, TCPConnector, web
from aiohttp.test_utils import TestServer, unused_port
from botbuilder.core import TurnContext
from botbuilder.schema import Activity, ActivityTypes, ConversationReference
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from bot.errors import CasemateError, Undelivered
from bot.teams.adapter import TeamsAdapter, sdk_activity
from bot.teams.connector import Connector
from tests.clock import FakeClock
from tests.teams.conftest import BOT, activity
from tests.teams.identity_provider import private_key
from tests.teams_double import Teams


async def token() -> str:
    return "the-bot-s-own-token"


async def no_token() -> str:
    raise CasemateError("Entra ID says no, and what it says is nobody's business.")


def certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that signs itself, with its key, in one file."""
    key = private_key("tls")
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    path = folder / "tls.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


async def test_the_bots_token_goes_over_tls_and_only_there(
    stack: AsyncExitStack, clock: FakeClock, teams: Teams, service_url: str, tmp_path: Path
) -> None:
    pem = certificate(tmp_path)
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(pem)
    over_tls = Teams(clock)
    server = TestServer(over_tls.app, scheme="https")
    await server.start_server(ssl=serving)
    stack.push_async_callback(server.close)
    trusting = TCPConnector(ssl=ssl.create_default_context(cafile=str(pem)))
    session = await stack.enter_async_context(ClientSession(connector=trusting))

    connector = Connector(session, clock, token=token, loopback=True)
    said = {"type": "message", "text": "Hello.", "from": {"id": BOT}}
    await connector.post(str(server.make_url("/")), "a:chat", said)
    await connector.post(service_url, "a:chat", said)
    assert over_tls.tokens == ["Bearer the-bot-s-own-token"]
    assert teams.tokens == [""]


@pytest.mark.parametrize(
    "url", ["https://evil.example/", "http://smba.trafficmanager.net/", "http://127.0.0.1:1/"]
)
async def test_a_stored_address_that_is_not_teams_is_never_called(
    http: ClientSession, clock: FakeClock, url: str
) -> None:
    connector = Connector(http, clock, token=token, loopback=False)
    with pytest.raises(Undelivered) as caught:
        await connector.post(url, "a:chat", {"type": "message"})
    assert caught.value.retire


async def test_without_a_token_nothing_is_sent_and_nothing_told(
    http: ClientSession, clock: FakeClock
) -> None:
    connector = Connector(http, clock, token=no_token, loopback=True)
    with pytest.raises(Undelivered) as caught:
        await connector.post(f"https://127.0.0.1:{unused_port()}/", "a:chat", {"type": "message"})
    assert caught.value.sentence == "The bot has no valid token for Teams."
    assert not caught.value.retire


async def test_a_redirect_is_not_followed(
    stack: AsyncExitStack, http: ClientSession, clock: FakeClock, teams: Teams, service_url: str
) -> None:
    async def elsewhere(request: web.Request) -> web.Response:
        raise web.HTTPTemporaryRedirect(f"{service_url}v3/conversations/a/activities")

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", elsewhere)
    server = TestServer(app)
    await server.start_server()
    stack.push_async_callback(server.close)
    connector = Connector(http, clock, token=token, loopback=True)
    answer = await connector.post(str(server.make_url("/")), "a:chat", {"type": "message"})
    assert answer.status == 307
    assert teams.requests == []


@pytest.mark.parametrize(
    "conversation", ["a:chat", "19:x@thread.tacv2;messageid=17", "a/b?c#d", "é %2F ü"]
)
async def test_ids_stay_one_part_of_the_path(
    http: ClientSession, clock: FakeClock, teams: Teams, service_url: str, conversation: str
) -> None:
    connector = Connector(http, clock, token=None, loopback=True)
    await connector.post(service_url, conversation, {"type": "typing", "from": {"id": BOT}})
    assert teams.typing == [conversation]


async def test_the_sdks_turn_context_sends_edits_and_deletes(
    http: ClientSession, clock: FakeClock, teams: Teams, service_url: str
) -> None:
    connector = Connector(http, clock, token=None, loopback=True)
    context = TurnContext(TeamsAdapter(connector), sdk_activity(activity(service_url)))
    sent = await context.send_activity("Hello.")
    assert sent is not None
    assert teams.sent[sent.id].text == "Hello."
    edit = Activity(type=ActivityTypes.message, id=sent.id, text="Hello again.")
    assert (await context.update_activity(edit)).id == sent.id
    assert teams.sent[sent.id].text == "Hello again."
    reference: ConversationReference = TurnContext.get_conversation_reference(context.activity)
    reference.activity_id = sent.id
    await context.delete_activity(reference)
    assert teams.sent == {}
    assert teams.violations == []
