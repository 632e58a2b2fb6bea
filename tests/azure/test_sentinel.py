import asyncio
import ipaddress
import json
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot import errors
from bot.azure import sentinel_json
from bot.azure.sentinel import Sentinel
from bot.domain.incident import Mention, Workspace
from sandbox import sentinel as sandbox_sentinel
from sandbox.world import RESOURCE_GROUP, SUBSCRIPTION, WORKSPACE_ID, Fault, World, load
from sandbox.world import WORKSPACE as SANDBOX
from tests.azure.sentinel_double import PREFIX, WORKSPACE, Double, incident
from tests.clock import ImpatientClock

ID = "73e01a99-5cd7-4139-a149-9f2736ff2ab5"
LOOPBACK = ipaddress.ip_address("127.0.0.1")
GUID = "4bb36b7b-26ff-4d1c-9cbe-0d8ab3da0014"
EXAMPLES = Path(__file__).parents[2] / ".." / "shared" / "openapi" / "sentinel-examples"


@pytest.fixture
def clock() -> ImpatientClock:
    return ImpatientClock()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def double() -> Double:
    return Double()


@pytest.fixture
async def server(double: Double) -> AsyncIterator[TestServer]:
    async with TestServer(double.app()) as server:
        yield server


@pytest.fixture
def sentinel(server: TestServer, session: aiohttp.ClientSession, clock: ImpatientClock) -> Sentinel:
    return Sentinel(session, WORKSPACE, str(server.make_url("/")), None, clock)


def page(*items: Any, more: str = "") -> dict[str, Any]:
    return {"value": list(items), **({"nextLink": more} if more else {})}


# --- reading -------------------------------------------------------------------------------------


async def test_an_incident_is_read_with_its_times_counts_and_tactics(sentinel, double):
    double.answers = [
        incident(
            owner={"assignedTo": None, "userPrincipalName": "ada@contoso.com"},
            labels=[{"labelName": "vip", "labelType": "User"}, {"labelName": ""}],
        )
    ]
    found = await sentinel.get(ID)
    assert (found.ref.workspace, found.ref.id, found.number) == ("soc", ID, 42)
    assert (found.severity, found.status, found.etag) == ("High", "New", '"e1"')
    assert found.owner == "ada@contoso.com"
    assert found.labels == ("vip",)
    assert found.tactics == ("InitialAccess",)
    assert found.techniques == ()
    assert found.created == datetime(2026, 11, 20, 18, 22, 10, 123456, tzinfo=UTC)
    asked = double.asked[0]
    assert (asked.method, asked.path) == ("GET", f"/incidents/{ID}")
    assert asked.query == {"api-version": "2025-09-01"}
    assert "Authorization" not in asked.headers


@pytest.mark.parametrize("id", ["", "../x", "a/b", "a?b", "42#", "ä", "x" * 65, "42\n"])
async def test_an_id_that_is_none_never_goes_into_a_path(sentinel, double, id):
    for call in (
        sentinel.get(id),
        sentinel.alerts(id),
        sentinel.add_comment(id, GUID, "x"),
        sentinel.update(id, {"status": "Active"}),
    ):
        with pytest.raises(errors.IncidentNotFound):
            await call
    assert double.asked == []


@pytest.mark.parametrize(
    ("mention", "filter"),
    [
        (Mention(number=42), "properties/incidentNumber eq 42"),
        (Mention(provider_id="9001"), "properties/providerIncidentId eq '9001'"),
    ],
)
async def test_an_incident_is_found_by_filter(sentinel, double, mention, filter):
    double.answers = [page(incident())]
    assert (await sentinel.find(mention)).number == 42
    assert double.asked[0].query["$filter"] == filter


async def test_an_incident_is_found_by_id(sentinel, double):
    double.answers = [incident()]
    assert (await sentinel.find(Mention(id=ID))).ref.id == ID


async def test_a_quote_in_a_provider_id_stays_inside_its_literal(sentinel, double):
    double.answers = [page()]
    with pytest.raises(errors.IncidentNotFound):
        await sentinel.find(Mention(provider_id="x' or 1 eq 1 or '' eq '"))
    assert double.asked[0].query["$filter"] == (
        "properties/providerIncidentId eq 'x'' or 1 eq 1 or '''' eq '''"
    )


async def test_a_filter_that_is_ignored_finds_no_wrong_incident(sentinel, double):
    double.answers = [page(incident(number=7), incident(number=8))]
    with pytest.raises(errors.IncidentNotFound, match="no incident 42 in the workspace soc"):
        await sentinel.find(Mention(number=42))


async def test_a_filter_that_is_refused_is_replaced_by_looking_through_the_newest(sentinel, double):
    def answer(asked):
        return 400 if "$filter" in asked.query else page(incident(7), incident(42))

    double.answer = answer
    assert (await sentinel.find(Mention(provider_id="9001"))).number == 7
    assert double.asked[1].query["$orderby"] == "properties/createdTimeUtc desc"


async def test_an_empty_page_that_goes_on_is_not_the_end(sentinel, double, server):
    more = str(server.make_url(PREFIX + "/incidents")) + "?api-version=1&$skipToken=a%2Bb%3D"
    double.answers = [page(more=more), page(incident())]
    assert (await sentinel.find(Mention(number=42))).number == 42
    assert double.asked[1].query["$skipToken"] == "a+b="


async def test_a_list_asks_with_filter_order_and_top_and_goes_on_where_told(
    sentinel, double, server
):
    more = str(server.make_url(PREFIX.upper() + "/incidents")) + "?api-version=1&$skipToken=2"
    double.answers = [page(incident(1), "junk", {"name": "not/a name"}, more=more), page()]
    first = await sentinel.list(filter="properties/status eq 'New'", order="a desc", top=3)
    assert [found.number for found in first.incidents] == [1]
    assert await sentinel.list(more=first.more) == type(first)(())
    assert double.asked[0].query == {
        "api-version": "2025-09-01",
        "$filter": "properties/status eq 'New'",
        "$orderby": "a desc",
        "$top": "3",
    }


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example{path}",
        "https://127.0.0.1:{port}{path}",
        "http://127.0.0.1:1{path}",
        "http://127.0.0.1@evil.example:{port}{path}",
        "http://x@127.0.0.1:{port}{path}",
        "http://127.0.0.1.evil.example:{port}{path}",
        "http://127.0.0.1:{port}/subscriptions/other/incidents",
        "http://127.0.0.1:{port}{path}/../../../../secrets",
        "http://127.0.0.1:{port}{path}/%2e%2e/%2E%2E/secrets",
        "http://127.0.0.1:{port}{path}%2f..%2f..%2fsecrets",
        "http://127.0.0.1:{port}{path}\r\nX: y",
        "http://127.0.0.1:99999999{path}",
        "http://[::1{path}",
        "{path}",
        "//evil.example{path}",
        "file:///etc/passwd",
    ],
)
async def test_a_link_that_leaves_the_workspace_is_not_followed(sentinel, double, server, link):
    link = link.format(port=server.port, path=PREFIX + "/incidents")
    double.answers = [page(more=link)]
    for call in (sentinel.list(more=link), sentinel.comments(ID), sentinel.find(Mention(number=1))):
        with pytest.raises(errors.SentinelDown, match="outside this workspace"):
            await call
    assert all(asked.path.startswith("/incidents") for asked in double.asked)


async def test_azures_links_may_spell_out_the_default_port(session, clock):
    sentinel = Sentinel(session, WORKSPACE, "https://127.0.0.1:1", None, clock)
    with pytest.raises(errors.SentinelDown, match="outside"):
        await sentinel.list(more=f"https://127.0.0.1{PREFIX}/incidents")
    azure = Sentinel(session, WORKSPACE, "https://localhost", None, clock)
    with pytest.raises(errors.SentinelDown, match="did not answer"):
        await azure.list(more=f"https://LOCALHOST:443{PREFIX}/incidents?api-version=1")


async def test_comments_and_tasks_come_oldest_first_over_pages(sentinel, double, server):
    more = str(server.make_url(f"{PREFIX}/incidents/{ID}/comments")) + "?api-version=1&p=2"
    double.answers = [
        page(
            {"name": "b", "properties": {"message": "2", "createdTimeUtc": "2026-01-02T00:00:00Z"}},
            more=more,
        ),
        page(
            {"name": "a", "properties": {"message": "1", "createdTimeUtc": "2026-01-01T00:00:00Z"}}
        ),
    ]
    assert [comment.message for comment in await sentinel.comments(ID)] == ["1", "2"]
    double.answers = [page({"name": "t", "properties": {"title": "Look", "status": "Completed"}})]
    [task] = await sentinel.tasks(ID)
    assert (task.id, task.title, task.status, task.created) == ("t", "Look", "Completed", None)


async def test_a_list_that_never_ends_is_left_after_ten_pages(sentinel, double, server):
    more = str(server.make_url(f"{PREFIX}/incidents/{ID}/tasks")) + "?api-version=1"
    double.answers = [page({"name": "t"}, more=more)]
    assert len(await sentinel.tasks(ID)) == 10
    assert len(double.asked) == 10


async def test_alerts_and_entities_are_read_by_post(sentinel, double):
    double.answers = [{"value": [{"name": "a", "properties": {"alertDisplayName": "Odd"}}]}]
    assert [alert.name for alert in await sentinel.alerts(ID)] == ["Odd"]
    double.answers = [{"entities": [{"kind": "Ip", "properties": {"address": "203.0.113.7"}}]}]
    assert [entity.name for entity in await sentinel.entities(ID)] == ["203.0.113.7"]
    assert [(asked.method, asked.path) for asked in double.asked] == [
        ("POST", f"/incidents/{ID}/alerts"),
        ("POST", f"/incidents/{ID}/entities"),
    ]


async def test_ping_is_the_smallest_list(sentinel, double):
    double.answers = [page()]
    await sentinel.ping()
    assert double.asked[0].query["$top"] == "1"


# --- what a portal's link may be -----------------------------------------------------------------

AZURE = "https://portal.azure.com/#asset/Incident/1"
DEFENDER = "https://security.microsoft.com/incidents/9?tid=1"


@pytest.mark.parametrize(
    ("provider", "own", "url"),
    [
        (DEFENDER, AZURE, DEFENDER),
        ("https://evil.example/", AZURE, AZURE),
        (None, AZURE, AZURE),
        (None, "https://portal.azure.us/x", "https://portal.azure.us/x"),
        (None, "https://PORTAL.azure.CN:443/x", "https://PORTAL.azure.CN:443/x"),
        (None, "https://portal.azure.com/a) [b](c", "https://portal.azure.com/a%29%20%5Bb%5D%28c"),
        (None, 'https://portal.azure.com/"><b>', "https://portal.azure.com/%22%3E%3Cb%3E"),
        (None, "http://portal.azure.com/x", ""),
        (None, "https://portal.azure.com:8443/x", ""),
        (None, "https://portal.azure.com@evil.example/x", ""),
        (None, "https://portal.azure.com.evil.example/x", ""),
        (None, "https://portal.azure.com\\@evil.example/x", ""),
        (None, "https://portal.azure.com:x/", ""),
        (None, "javascript:alert(1)", ""),
        (None, "http://127.0.0.1:8080/incidents/1", ""),
        (17, ["x"], ""),
    ],
)
def test_only_microsofts_portals_are_linked(provider, own, url):
    data = incident(incidentUrl=own, additionalData={"providerIncidentUrl": provider})
    assert sentinel_json.to_incident(data, WORKSPACE).url == url


async def test_the_sandboxs_own_pages_are_linked_when_sentinel_is_on_loopback(sentinel, double):
    double.answers = [incident(incidentUrl="http://127.0.0.1:8080/incidents/1")]
    assert (await sentinel.get(ID)).url == "http://127.0.0.1:8080/incidents/1"


# --- lenient reading -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "properties", "name"),
    [
        ("Account", {"accountName": "jdoe", "upnSuffix": "contoso.com"}, "jdoe@contoso.com"),
        ("Account", {"accountName": "jdoe", "friendlyName": "x"}, "jdoe"),
        ("Account", {"friendlyName": "S-1-5"}, "S-1-5"),
        ("Host", {"hostName": "web1", "dnsDomain": "contoso.com"}, "web1.contoso.com"),
        ("IP", {"address": "203.0.113.7"}, "203.0.113.7"),
        ("File", {"directory": "C:\\", "fileName": "a.exe"}, "a.exe"),
        ("FileHash", {"hashValue": "abc", "friendlyName": "abc(SHA1)"}, "abc"),
        ("Process", {"processId": "7", "commandLine": "cmd /c {x}"}, "cmd /c {x}"),
        ("RegistryKey", {"hive": "HKLM", "key": "Run"}, "HKLM\\Run"),
        ("Url", {"url": "https://evil.example"}, "https://evil.example"),
        ("Nobody knows", {"friendlyName": "new", "depth": 3, "x": {"y": 1}}, "new"),
        (None, {}, "e1"),
    ],
)
def test_an_entity_is_named_by_what_tells_most(kind, properties, name):
    entity = sentinel_json.to_entity({"name": "e1", "kind": kind, "properties": properties})
    assert entity.name == name
    assert entity.kind == (kind or "Unknown")


def test_an_entitys_single_values_are_its_facts():
    properties = {"a": "x", "n": 3, "b": True, "no": False, "none": None, "l": [1], "o": {"p": 1}}
    entity = sentinel_json.to_entity({"kind": "New", "properties": properties})
    assert entity.facts == {"a": "x", "n": "3", "b": "true", "no": "false"}


@pytest.mark.parametrize(
    ("more", "techniques"),
    [
        ({"Techniques": '["T1078","T1110.003"]'}, ("T1078", "T1110.003")),
        ({"MitreTechniques": "T1078, T1078"}, ("T1078",)),
        ({"Techniques": ["T1566"]}, ("T1566",)),
        ({"Techniques": 7}, ()),
        ("x", ()),
    ],
)
def test_an_alerts_techniques_are_found_however_they_are_written(more, techniques):
    assert sentinel_json.to_alert({"properties": {"additionalData": more}}).techniques == techniques


@pytest.mark.parametrize(
    ("written", "details"),
    [
        ('{"Reason":["TOR","VPN"],"Score":9}', {"Reason": "TOR, VPN", "Score": "9"}),
        ({"Reason": "TOR", "Empty": []}, {"Reason": "TOR"}),
        ("{broken", {}),
        ("[1]", {}),
        (None, {}),
    ],
)
def test_custom_details_are_unpacked(written, details):
    alert = {"properties": {"additionalData": {"Custom Details": written}}}
    assert sentinel_json.to_alert(alert).details == details


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2026-11-20T18:22:10.1234567Z", datetime(2026, 11, 20, 18, 22, 10, 123456, UTC)),
        ("2026-11-20T18:22:10+01:00", datetime(2026, 11, 20, 17, 22, 10, 0, UTC)),
        ("2026-11-20T18:22:10", datetime(2026, 11, 20, 18, 22, 10, 0, UTC)),
        ("0001-01-01T00:00:00+23:00", None),
        ("yesterday", None),
        (1700000000, None),
        (None, None),
    ],
)
def test_times_are_read_in_utc_or_not_at_all(written, moment):
    comment = {"properties": {"createdTimeUtc": written}}
    assert sentinel_json.to_comment(comment).created == moment


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["name", "id", "kind", "etag", "properties", "additionalData", "owner", "labels",
                 "tactics", "incidentUrl", "createdTimeUtc", "value", "entities", "nextLink",
                 "Custom Details", "incidentNumber", "labelName", "friendlyName"]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=30,
)  # fmt: skip


@settings(
    max_examples=60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=json_values)
def test_no_json_at_all_raises_more_than_a_sentinel_error(data):
    async def ask() -> None:
        double = Double(answers=[json.dumps(data).encode()])  # a number alone is a status
        async with TestServer(double.app()) as server, aiohttp.ClientSession() as session:
            sentinel = Sentinel(
                session, WORKSPACE, str(server.make_url("")), None, ImpatientClock()
            )
            for call in (
                sentinel.get(ID),
                sentinel.list(),
                sentinel.alerts(ID),
                sentinel.entities(ID),
                sentinel.comments(ID),
                sentinel.tasks(ID),
                sentinel.find(Mention(number=1)),
                sentinel.update(ID, {"status": "Active"}),
            ):
                try:
                    await call
                except errors.SentinelError as error:
                    assert error.sentence

    asyncio.run(ask())


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"value"', b"\xff", b"null", b"{}"])
async def test_an_answer_that_is_no_incident_is_said_so(sentinel, double, body):
    double.answers = [body]
    with pytest.raises(errors.SentinelDown, match="cannot read"):
        await sentinel.get(ID)


def example(name: str) -> Any:
    path = EXAMPLES / name
    if not path.exists():
        pytest.skip("Microsoft's published examples are not beside this project")
    return json.loads(path.read_text("utf-8"))["responses"]["200"]["body"]


@pytest.mark.parametrize(
    ("file", "read", "expected"),
    [
        ("GetIncidentById.json", "get", {"number": 3177, "owner": "john doe", "status": "Closed"}),
        ("GetIncidents.json", "list", {"number": 3177, "tactics": ("Persistence",)}),
        ("GetAllIncidentAlerts.json", "alerts", {"name": "myAlert", "severity": "Low"}),
        ("GetAllIncidentEntities.json", "entities", {"kind": "Account", "name": "administrator"}),
        (
            "comments/GetAllIncidentComments.json",
            "comments",
            {"message": "Some message", "author": "john doe"},
        ),
        ("tasks/IncidentTasks_List.json", "tasks", {"status": "New"}),
    ],
)
async def test_microsofts_published_examples_are_read(sentinel, double, file, read, expected):
    double.answers = [example(file)]
    call = getattr(sentinel, read)
    got = await (call() if read == "list" else call(ID))
    if read == "list":
        got = got.incidents
    first = got if read == "get" else got[0]
    assert {name: getattr(first, name) for name in expected} == expected


# --- failures ------------------------------------------------------------------------------------

NOT_FOUND = {"error": {"code": "NotFound", "message": "Incident was not found."}}


def refusal(code: str, message: str = "No.") -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "innerError": None}}


@pytest.mark.parametrize(
    ("answer", "error", "sentence"),
    [
        ((401, refusal("ExpiredAuthenticationToken")), errors.SentinelForbidden, "did not accept"),
        ((403, refusal("AuthorizationFailed")), errors.SentinelForbidden, "Sentinel Reader"),
        ((404, NOT_FOUND), errors.IncidentNotFound, "no such incident in the workspace soc"),
        ((404, b"x"), errors.IncidentNotFound, "no such incident"),
        ((404, refusal("ResourceGroupNotFound")), errors.SentinelRefused, "find the workspace soc"),
        ((404, refusal("SubscriptionNotFound")), errors.SentinelRefused, "find the workspace soc"),
        (
            (404, refusal("ResourceNotFound", "The Resource 'M.O/workspaces/x' was not found.")),
            errors.SentinelRefused,
            "find the workspace soc",
        ),
        (
            (404, refusal("ResourceNotFound", "'M.O/workspaces/x/p/incidents/1' was not found.")),
            errors.IncidentNotFound,
            "no such incident",
        ),
        ((409, refusal("Conflict")), errors.SentinelConflict, "Somebody else"),
        (
            (400, refusal("BadRequest", "Title\nis empty.")),
            errors.SentinelRefused,
            "Title is empty",
        ),
        ((405, None), errors.SentinelRefused, "status 405"),
        ((500, b"boom"), errors.SentinelDown, "status 500"),
        ((302, {}), errors.SentinelDown, "status 302"),
    ],
)
async def test_a_refusal_becomes_a_sentence(sentinel, double, answer, error, sentence):
    status, body = answer
    double.answers = [(status, body.decode() if isinstance(body, bytes) else body)]
    with pytest.raises(error, match=sentence):
        await sentinel.get(ID)
    assert len(double.asked) == 1


async def test_a_list_that_is_not_found_means_the_workspace(sentinel, double):
    double.answers = [(404, NOT_FOUND)]
    with pytest.raises(errors.SentinelRefused, match="workspace soc"):
        await sentinel.ping()


async def test_a_write_that_is_forbidden_names_the_writers_role(sentinel, double):
    double.answers = [incident(), 403]
    with pytest.raises(errors.SentinelForbidden, match="Microsoft Sentinel Responder"):
        await sentinel.update(ID, {"status": "Active"})


async def test_what_the_service_says_is_shortened_and_made_harmless(sentinel, double):
    message = "See https://evil.example/x\u202e and more " + "y" * 400
    double.answers = [(400, refusal("BadRequest", message))]
    with pytest.raises(errors.SentinelRefused) as caught:
        await sentinel.get(ID)
    assert "https://" not in caught.value.sentence
    assert "\u202e" not in caught.value.sentence
    assert len(caught.value.sentence) < 280


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_a_passing_failure_is_tried_again(sentinel, double, clock, status):
    double.answers = [(status, {}, {"Retry-After": "3"}), incident()]
    assert (await sentinel.get(ID)).number == 42
    assert clock.slept == [3]


async def test_the_lists_by_post_are_reads_and_tried_again(sentinel, double):
    double.answers = [503, {"value": []}]
    assert await sentinel.alerts(ID) == ()


async def test_a_quota_that_lasts_longer_than_an_analyst_waits_is_said(sentinel, double, clock):
    double.answers = [(429, {}, {"Retry-After": "45"})]
    with pytest.raises(errors.SentinelBusy, match="in 45 seconds") as caught:
        await sentinel.get(ID)
    assert caught.value.retry_after == 45
    assert clock.slept == []


async def test_an_analyst_waits_ten_seconds_at_most(sentinel, double, clock):
    double.answers = [(429, {}, {"Retry-After": "4"})]
    with pytest.raises(errors.SentinelBusy):
        await sentinel.get(ID)
    assert sum(clock.slept) <= 10


async def test_nobody_there_is_said(session, clock, unused_tcp_port):
    sentinel = Sentinel(session, WORKSPACE, f"http://127.0.0.1:{unused_tcp_port}", None, clock)
    with pytest.raises(errors.SentinelDown, match="did not answer"):
        await sentinel.ping()
    assert sum(clock.slept) <= 10


# --- the token -----------------------------------------------------------------------------------


async def test_a_token_never_goes_over_plain_http(server, double, session, clock):
    async def token() -> str:
        raise AssertionError("not even asked for")

    double.answers = [page()]
    await Sentinel(session, WORKSPACE, str(server.make_url("/")), token, clock).ping()
    assert "Authorization" not in double.asked[0].headers


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's side of one certificate for loopback."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(LOOPBACK)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = signed.public_bytes(Encoding.PEM)
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = tmp_path / "loopback.pem"
    path.write_bytes(pem + secret)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(path)
    return server, ssl.create_default_context(cadata=pem.decode())


async def test_over_tls_every_request_carries_the_token(certificate, double, clock):
    async def token() -> str:
        return "t0k3n"

    server = TestServer(double.app())
    await server.start_server(ssl=certificate[0])
    url = str(server.make_url("/"))
    double.answers = [incident(), incident()]
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=certificate[1])) as session:
        sentinel = Sentinel(session, WORKSPACE, url, token, clock)
        await sentinel.update(ID, {"status": "Active"})
    await server.close()
    assert url.startswith("https://")
    assert [asked.headers["Authorization"] for asked in double.asked] == ["Bearer t0k3n"] * 2
    assert "t0k3n" not in f"{sentinel!r}"


async def test_a_token_that_cannot_be_had_is_said_in_its_own_words(session, clock):
    async def token() -> str:
        raise errors.CasemateError("I cannot sign in.")

    sentinel = Sentinel(session, WORKSPACE, "https://127.0.0.1:1", token, clock)
    with pytest.raises(errors.SentinelDown, match=r"^I cannot sign in\.$"):
        await sentinel.ping()


# --- an analyst's own rights ---------------------------------------------------------------------


async def analysts() -> str:
    return "4n4"


async def signed_out() -> str:
    raise errors.SignInNeeded("Please sign in first.")


async def test_with_an_analysts_rights_only_their_requests_carry_their_token(sentinel, double):
    double.answers = [incident(), incident(), incident()]
    await sentinel.of(analysts).get(ID)
    await sentinel.get(ID)
    asked = [each.headers.get("Authorization") for each in double.asked]
    assert asked == ["Bearer 4n4", None]


@pytest.mark.parametrize(
    ("status", "write", "sentence"),
    [
        (401, False, "no longer accepts your sign-in"),
        (403, False, r"^You lack Microsoft Sentinel Reader on the workspace soc \(Au"),
        (403, True, r"^You lack Microsoft Sentinel Responder on the workspace soc \(Au"),
    ],
)
async def test_where_azure_says_no_the_analyst_reads_what_they_lack(
    sentinel, double, status, write, sentence
):
    refused = (status, refusal("AuthorizationFailed"))
    double.answer = lambda asked: refused if not write or asked.method == "PUT" else 404
    theirs = sentinel.of(analysts)
    with pytest.raises(errors.SentinelForbidden, match=sentence):
        await (theirs.add_comment(ID, GUID, "x") if write else theirs.get(ID))


async def test_who_has_not_signed_in_is_told_so_and_azure_is_not_asked(sentinel, double):
    with pytest.raises(errors.SignInNeeded):
        await sentinel.of(signed_out).get(ID)
    assert double.asked == []


# --- writing -------------------------------------------------------------------------------------


async def test_a_task_and_a_comment_are_put_under_our_guid(sentinel, double):
    double.answers = [(201, None)]
    await sentinel.add_task(ID, GUID, "Look", "<p>There</p>")
    await sentinel.add_comment(ID, GUID, "<p>Seen</p>")
    task, comment = double.asked
    assert (task.method, task.path) == ("PUT", f"/incidents/{ID}/tasks/{GUID}")
    assert task.body == {
        "properties": {"title": "Look", "description": "<p>There</p>", "status": "New"}
    }
    assert (comment.method, comment.path) == ("PUT", f"/incidents/{ID}/comments/{GUID}")
    assert comment.body == {"properties": {"message": "<p>Seen</p>"}}


async def test_a_full_incident_refuses_with_its_reason(sentinel, double):
    double.answer = lambda asked: (
        (400, refusal("BadRequest", "At most 100 comments.")) if asked.method == "PUT" else 404
    )
    with pytest.raises(errors.SentinelRefused, match=r"At most 100 comments\.$"):
        await sentinel.add_comment(ID, GUID, "x")


@pytest.mark.parametrize("status", [400, 403, 409])
async def test_a_repeat_that_is_refused_counts_as_written_when_it_is_there(
    sentinel, double, status
):
    double.answer = lambda asked: status if asked.method == "PUT" else {"name": GUID}
    await sentinel.add_comment(ID, GUID, "x")


async def test_an_update_keeps_what_it_does_not_change_and_sends_nothing_read_only(
    sentinel, double
):
    before = incident(
        description="Long story",
        owner={"objectId": "o1", "assignedTo": "Ada", "email": None, "ownerType": "User"},
        labels=[{"labelName": "auto", "labelType": "AutoAssigned"}, {"labelName": "vip"}],
        classification="Undetermined",
        classificationComment=None,
        firstActivityTimeUtc="2026-11-20T18:11:53.6158361Z",
        incidentUrl=AZURE,
        relatedAnalyticRuleIds=["x"],
    )
    double.answer = lambda asked: (
        {**before, **(asked.body or {}), "etag": '"e2"'} if asked.method == "PUT" else before
    )
    after = await sentinel.update(ID, {"severity": "Low", "classification": None})
    assert (after.severity, after.etag) == ("Low", '"e2"')
    assert double.asked[-1].body == {
        "etag": '"e1"',
        "properties": {
            "title": "Sign-in from an anonymous address",
            "severity": "Low",
            "status": "New",
            "description": "Long story",
            "owner": {"objectId": "o1", "assignedTo": "Ada", "ownerType": "User"},
            "labels": [{"labelName": "auto"}, {"labelName": "vip"}],
            "firstActivityTimeUtc": "2026-11-20T18:11:53.6158361Z",
        },
    }


async def test_a_change_by_somebody_else_survives_ours(sentinel, double):
    theirs = {**incident(description="Theirs"), "etag": '"e2"'}

    def answer(asked):
        if asked.method == "GET":
            return incident() if len(double.asked) == 1 else theirs
        return asked.body | {"name": ID} if asked.body["etag"] == '"e2"' else 409

    double.answer = answer
    after = await sentinel.update(ID, {"severity": "Low"})
    assert (after.severity, double.asked[-1].body["properties"]["description"]) == ("Low", "Theirs")


async def test_an_incident_without_an_etag_is_not_written(sentinel, double):
    double.answers = [{**incident(), "etag": None}]
    with pytest.raises(errors.SentinelDown, match="changed nothing"):
        await sentinel.update(ID, {"status": "Active"})
    assert [asked.method for asked in double.asked] == ["GET"]


async def test_a_property_that_is_read_only_is_our_own_mistake(sentinel, double):
    double.answer = lambda asked: incident()
    with pytest.raises(ValueError, match="incidentNumber"):
        await sentinel.update(ID, {"incidentNumber": 1})
    assert [asked.method for asked in double.asked] == ["GET"]


async def test_changes_may_follow_from_what_was_read_each_time_anew(sentinel, double):
    theirs = {**incident(severity="Low"), "etag": '"e2"'}
    double.answers = [incident(), 409, theirs]
    seen = []

    def changes(read):
        seen.append(read.severity)
        return {} if read.severity == "Low" else {"severity": "Low"}

    assert (await sentinel.update(ID, changes)).severity == "Low"
    assert seen == ["High", "Low"]
    assert [asked.method for asked in double.asked] == ["GET", "PUT", "GET"]


async def test_who_is_always_slower_gives_up_after_four_tries(sentinel, double, clock):
    double.answer = lambda asked: 409 if asked.method == "PUT" else incident()
    with pytest.raises(errors.SentinelConflict, match="Nothing was written"):
        await sentinel.update(ID, {"status": "Active"})
    assert [asked.method for asked in double.asked] == ["GET", "PUT"] * 4
    assert 0 < sum(clock.slept) < 3


# --- against the sandbox -------------------------------------------------------------------------


@pytest.fixture
async def world(clock: ImpatientClock) -> World:
    return await asyncio.to_thread(load, clock.now(), None, clock.now)


@pytest.fixture
async def sandbox(world: World) -> AsyncIterator[str]:
    async with TestServer(sandbox_sentinel.app(world)) as server:
        yield str(server.make_url("/"))


@pytest.fixture
def live(sandbox: str, session: aiohttp.ClientSession, clock: ImpatientClock) -> Sentinel:
    workspace = Workspace("sandbox", SUBSCRIPTION, RESOURCE_GROUP, SANDBOX, WORKSPACE_ID)
    return Sentinel(session, workspace, sandbox, None, clock)


async def test_every_sandbox_incident_is_read_whole(live, world):
    listed = []
    more = ""
    while not listed or more:
        shown = await live.list(top=3, more=more)
        listed += shown.incidents
        more = shown.more
    assert len(listed) == len(world.cases)
    for found in listed:
        assert await live.get(found.ref.id) == found
        assert await live.find(Mention(number=found.number)) == found
        assert len(await live.alerts(found.ref.id)) == found.alerts_count
        assert len(await live.comments(found.ref.id)) == found.comments_count
        await live.tasks(found.ref.id)
        assert all(entity.name for entity in await live.entities(found.ref.id))


async def test_a_write_whose_answer_was_lost_is_there_once(live, world):
    case = world.by_number(3177)
    before = len(case.comments), len(case.tasks)
    world.faults += [Fault("PUT", "/comments/", 503, after=True), Fault("PUT", "/tasks/", 504)]
    await live.add_comment(case.name, GUID, "<p>Seen</p>")
    await live.add_task(case.name, GUID, "Look", "<p>There</p>")
    assert (len(case.comments), len(case.tasks)) == (before[0] + 1, before[1] + 1)


async def test_an_update_whose_answer_was_lost_goes_through_by_reading_again(live, world):
    case = world.by_number(3177)
    world.faults.append(Fault("PUT", "/incidents/", 503, after=True))
    assert (await live.update(case.name, {"severity": "Low"})).severity == "Low"
    assert [entry.status for entry in world.writes] == [503, 409, 200]


async def test_closing_the_sandboxs_incident_keeps_its_owner(live, world):
    case = world.by_number(3177)
    owned = await live.update(case.name, {"owner": {"objectId": "o", "assignedTo": "Ada"}})
    assert owned.owner == "Ada"
    closing = {
        "status": "Closed",
        "classification": "TruePositive",
        "classificationReason": "SuspiciousActivity",
    }
    closed = await live.update(case.name, closing)
    assert (closed.status, closed.classification, closed.owner) == ("Closed", "TruePositive", "Ada")


async def test_a_wrong_workspace_is_named(sandbox, session, clock):
    wrong = Workspace("typo", SUBSCRIPTION, RESOURCE_GROUP, "typo", "")
    sentinel = Sentinel(session, wrong, sandbox, None, clock)
    for call in (sentinel.ping(), sentinel.get(ID)):
        with pytest.raises(errors.SentinelRefused, match="find the workspace typo"):
            await call
