import ipaddress
import json
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from bot import errors
from bot.azure.log_analytics import LogAnalytics, arm_query_url
from bot.azure.log_analytics_errors import innermost
from bot.azure.log_analytics_json import to_catalogue
from bot.domain.incident import Workspace
from bot.domain.query import Catalogue, Column, Function, Rows, Table
from tests.azure.log_analytics_double import (
    METADATA,
    QUERY,
    WORKSPACE_ID,
    Asked,
    Double,
    refusal,
    table,
)
from tests.clock import ImpatientClock
from tests.faults import Faulty

WORKSPACE = Workspace("soc", "sub", "group", "myWorkspace", WORKSPACE_ID)
DAY = timedelta(days=1)
EXAMPLES = Path(__file__).parents[2] / ".." / "shared" / "openapi" / "loganalytics-examples"
ONE = table({"print_0": "int"}, [1])


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
    async with TestServer(double.app(), shutdown_timeout=0) as server:
        yield server


@pytest.fixture
def logs(server: TestServer, session: aiohttp.ClientSession, clock: ImpatientClock) -> LogAnalytics:
    return LogAnalytics(session, WORKSPACE, str(server.make_url("/")), None, clock)


# --- what is sent --------------------------------------------------------------------------------


async def test_a_query_carries_its_span_its_limit_and_a_cap_of_one_row_more(logs, double):
    double.answers = [ONE]
    await logs.run("SigninLogs | project UserPrincipalName", DAY, rows=50)
    [asked] = double.asked
    assert asked.path == QUERY
    assert asked.query.startswith("SigninLogs | project UserPrincipalName")
    assert "51" in asked.query
    assert asked.timespan == "PT86400.0S"
    assert asked.headers["Prefer"] == "wait=60"
    assert "Authorization" not in asked.headers


async def test_the_ping_is_the_smallest_query(logs, double):
    double.answers = [ONE]
    await logs.ping()
    assert double.queries[0].startswith("print 1")


@pytest.mark.parametrize("ending", ["", "/", "/v1", "/v1/"])
async def test_an_endpoint_may_end_with_the_version(server, double, session, clock, ending):
    double.answers = [ONE]
    endpoint = str(server.make_url("/")).rstrip("/") + ending
    await LogAnalytics(session, WORKSPACE, endpoint, None, clock).ping()
    assert double.asked[0].path == QUERY


# --- what comes back -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type", "cell", "value"),
    [
        (
            "datetime",
            "2026-11-24T08:00:00.1234567Z",
            datetime(2026, 11, 24, 8, 0, 0, 123456, UTC),
        ),
        ("datetime", "2026-11-24T08:00:00Z", datetime(2026, 11, 24, 8, tzinfo=UTC)),
        ("datetime", "2026-11-24T10:00:00+02:00", datetime(2026, 11, 24, 8, tzinfo=UTC)),
        ("datetime", "2026-11-24T08:00:00", datetime(2026, 11, 24, 8, tzinfo=UTC)),
        ("datetime", "soon", "soon"),
        ("datetime", None, None),
        ("string", "2026-11-24T08:00:00Z", "2026-11-24T08:00:00Z"),
        ("string", "None", "None"),
        ("string", '{"a":1}', '{"a":1}'),
        ("string", None, None),
        ("dynamic", '{"a":[1,null]}', {"a": [1, None]}),
        ("dynamic", "plain", "plain"),
        ("dynamic", {"a": 1}, {"a": 1}),
        ("dynamic", None, None),
        ("long", 9007199254740993, 9007199254740993),
        ("real", 1.5, 1.5),
        ("real", "NaN", "NaN"),
        ("bool", True, True),
        ("bool", None, None),
        ("guid", WORKSPACE_ID, WORKSPACE_ID),
        ("guid", None, None),
        ("timespan", "1.02:03:04.5000000", "1.02:03:04.5000000"),
        ("timespan", None, None),
        ("decimal", "1.10", "1.10"),
    ],
)
async def test_cells_become_values(logs, double, type: str, cell: Any, value: Any):
    double.answers = [table({"x": type}, [cell])]
    found = await logs.run("T", DAY, rows=5)
    assert found == Rows((Column("x", type),), ((value,),), timespan=DAY)
    if isinstance(value, datetime):
        assert found.rows[0][0].tzinfo is UTC


@pytest.mark.parametrize(("there", "given", "capped"), [(0, 0, False), (3, 3, False), (4, 3, True)])
async def test_more_rows_than_the_cap_are_told_and_left_out(logs, double, there, given, capped):
    double.answers = [table({"n": "int"}, *([n] for n in range(there)))]
    found = await logs.run("T", DAY, rows=3)
    assert (len(found.rows), found.capped, found.partial) == (given, capped, "")


async def test_a_partial_result_is_given_with_what_is_missing(logs, double):
    error = {
        "code": "PartialError",
        "message": "There were some errors when processing your query.",
        "innererror": {"code": "E1", "message": "Query result set has exceeded 64 MB\u202e."},
    }
    double.answers = [table({"n": "int"}, [1], error=error)]
    found = await logs.run("T", DAY, rows=3)
    assert found.rows == ((1,),)
    assert found.partial == (
        "The result is not complete: Query result set has exceeded 64 MB[U+202E]."
    )


@pytest.mark.parametrize(
    "answer",
    [
        {"error": {"code": "PartialError", "message": "Gone."}},
        {"tables": [], "error": {"message": "Gone."}},
        {"tables": [], "error": {"code": "Gone"}},
        {
            "tables": [],
            "error": {
                "code": "PartialError",
                "message": "There were some errors when processing your query.",
                "details": [{"message": "On the server.", "innererror": {"message": "Gone."}}],
            },
        },
    ],
)
async def test_a_partial_result_may_have_no_table(logs, double, answer):
    double.answers = [answer]
    found = await logs.run("T", DAY, rows=3)
    assert (found.columns, found.rows) == ((), ())
    assert found.partial == "The result is not complete: Gone."


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>a proxy's page</html>",
        b"",
        {"tables": [{"columns": [{"name": "a"}], "rows": []}]},
        {"tables": [{"columns": [{"name": "a", "type": "int"}], "rows": [[1, 2]]}]},
        {"tables": [{"columns": [{"name": "a", "type": "int"}], "rows": [[]]}]},
        {"tables": [{"columns": [{"name": "a", "type": "int"}]}]},
        {"tables": "none"},
        {"error": "no object"},
        {"tables": []},
        {},
        [],
        "text",
    ],
)
async def test_an_answer_nobody_can_read_is_said(logs, double, answer):
    double.answers = [answer]
    with pytest.raises(errors.LogsDown, match="something I cannot read"):
        await logs.run("T", DAY, rows=3)


# --- failures ------------------------------------------------------------------------------------

SEMANTIC = refusal(
    "The request had some invalid properties",
    "A semantic error occurred.",
    "'where' operator: Failed to resolve column named 'Usr' at https://evil.example",
)


@pytest.mark.parametrize(
    ("answer", "error", "sentence", "tries"),
    [
        ((400, SEMANTIC), errors.QueryRefused, "refuses the query: 'where' operator: Failed", 1),
        (400, errors.QueryRefused, "refuses the query: No.", 1),
        ((400, {}), errors.QueryRefused, "refuses the query: status 400.", 1),
        ((413, b"<html>"), errors.QueryRefused, "refuses the query: status 413.", 1),
        (401, errors.LogsForbidden, r"sign-in .* workspace soc \(Code401\)", 1),
        (401, errors.LogsForbidden, "Log Analytics Reader or Microsoft Sentinel Reader", 1),
        (403, errors.LogsForbidden, "Log Analytics Reader or Microsoft Sentinel Reader is mis", 1),
        (404, errors.LogsDown, "does not find the logs of the workspace soc", 1),
        (408, errors.LogsTooSlow, "ran into its time limit", 1),
        ((504, b"<html>Gateway"), errors.LogsTooSlow, "ran into its time limit", 1),
        ((429, {}, {"Retry-After": "2"}), errors.LogsBusy, "again in 2 seconds", 3),
        ((429, {}, {"Retry-After": "60"}), errors.LogsBusy, "again in 60 seconds", 1),
        (429, errors.LogsBusy, "again in 30 seconds", 1),
        (500, errors.LogsDown, "a problem of its own", 1),
        ((502, b"<html>Bad Gateway"), errors.LogsDown, r"a problem of its own \(status 502\)", 3),
        (503, errors.LogsDown, "a problem of its own", 3),
        ((302, {}, {"Location": "https://evil.example/"}), errors.LogsDown, "status 302", 1),
        (204, errors.LogsDown, "a problem of its own|cannot read", 1),
    ],
)
async def test_each_failure_has_its_sentence(logs, double, clock, answer, error, sentence, tries):
    double.answers = [answer]
    with pytest.raises(error, match=sentence) as caught:
        await logs.run("T", DAY, rows=3)
    assert len(double.asked) == tries
    assert clock.monotonic() <= 10
    assert caught.value.__cause__ is None  # azure-core's own error holds the request


async def test_what_the_service_found_wrong_is_kept_clean_and_short(logs, double):
    double.answers = [(400, refusal("Outer", "x" * 400 + " https://evil.example"))]
    with pytest.raises(errors.QueryRefused) as caught:
        await logs.run("T", DAY, rows=3)
    assert len(caught.value.detail) == 300
    double.answers = [(400, SEMANTIC)]
    with pytest.raises(errors.QueryRefused) as caught:
        await logs.run("T", DAY, rows=3)
    assert caught.value.detail.endswith("'Usr' at hxxps://evil[.]example")


@pytest.mark.parametrize("first", [429, 502, 503])
async def test_a_passing_trouble_is_waited_out(logs, double, clock, first):
    double.answers = [(first, {}, {"Retry-After": "3"}), ONE]
    assert (await logs.run("T", DAY, rows=3)).rows == ((1,),)
    assert len(clock.slept) == 1


async def test_an_answer_that_is_cut_on_its_way_is_asked_for_again(double, session, clock):
    faulty = Faulty(Random(1), "half answer", share=1.0)
    app = double.app()
    app.middlewares.append(faulty.middleware)
    double.answers = [ONE]
    async with TestServer(app) as server:
        logs = LogAnalytics(session, WORKSPACE, str(server.make_url("/")), None, clock)
        with pytest.raises(errors.LogsDown, match="did not answer"):
            await logs.run("print 1", DAY, rows=1)
        assert len(double.asked) > 1
        faulty.kind = ""
        assert (await logs.run("print 1", DAY, rows=1)).rows


async def test_the_waits_are_ten_seconds_in_all(logs, double, clock):
    double.answers = [(429, {}, {"Retry-After": "6"})]
    with pytest.raises(errors.LogsBusy):
        await logs.run("T", DAY, rows=3)
    assert clock.slept == [6.0]


async def test_a_service_that_is_not_there_is_down(session, clock, unused_tcp_port):
    url = f"http://127.0.0.1:{unused_tcp_port}"
    logs = LogAnalytics(session, WORKSPACE, url, None, clock)
    for call in (logs.ping(), logs.metadata()):
        with pytest.raises(errors.LogsDown, match="workspace soc did not answer"):
            await call
    assert len(clock.slept) == 4


async def test_a_service_that_says_nothing_is_too_slow(server, double, session, clock):
    double.answers = [None]
    logs = LogAnalytics(session, WORKSPACE, str(server.make_url("/")), None, clock, patience=0.05)
    with pytest.raises(errors.LogsTooSlow):
        await logs.run("T", DAY, rows=3)
    assert len(double.asked) == 1


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (None, ""),
        ([], ""),
        ({"error": "text"}, ""),
        ({"error": {"message": 5, "innererror": {"message": "in"}}}, "in"),
        ({"error": {"message": "out", "innererror": {"message": " "}}}, "out"),
        ({"error": {"message": "out", "innererror": "text"}}, "out"),
        ({"error": {"message": "out", "details": [{"message": "in"}, 5]}}, "in"),
        ({"error": {"message": "out", "details": []}}, "out"),
        ({"error": {"message": "out", "details": [5]}}, "out"),
        (refusal(*map(str, range(99))), "9"),
    ],
)
def test_the_innermost_message_is_found(body, message):
    assert innermost(body) == message


# --- the token -----------------------------------------------------------------------------------


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's side of one certificate for loopback."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    loopback = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
        .add_extension(loopback, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = signed.public_bytes(Encoding.PEM)
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = tmp_path / "loopback.pem"
    path.write_bytes(pem + secret)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(path)
    return server, ssl.create_default_context(cadata=pem.decode())


async def token() -> str:
    return "t0k3n"


async def test_over_tls_every_request_carries_the_token(certificate, double, clock):
    double.answer = answers({"tables": [metadata_table("SigninLogs")]})
    server = TestServer(double.app())
    await server.start_server(ssl=certificate[0])
    url = str(server.make_url("/"))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=certificate[1])) as session:
        logs = LogAnalytics(session, WORKSPACE, url, token, clock)
        await logs.ping()
        await logs.metadata()
    await server.close()
    assert url.startswith("https://") and len(double.asked) == 3
    assert {asked.headers["Authorization"] for asked in double.asked} == {"Bearer t0k3n"}
    assert "t0k3n" not in f"{logs!r}"


async def test_a_token_never_goes_over_plain_http(server, double, session, clock):
    double.answer = answers({"tables": [metadata_table("SigninLogs")]})
    logs = LogAnalytics(session, WORKSPACE, str(server.make_url("/")), token, clock)
    await logs.ping()
    await logs.metadata()
    assert not any("Authorization" in asked.headers for asked in double.asked)


async def test_a_token_that_cannot_be_had_is_said_in_its_own_words(session, clock):
    async def none() -> str:
        raise errors.CasemateError("I cannot sign in.")

    logs = LogAnalytics(session, WORKSPACE, "https://127.0.0.1:1", none, clock)
    for call in (logs.ping(), logs.metadata()):
        with pytest.raises(errors.LogsDown, match=r"^I cannot sign in\.$"):
            await call


# --- an analyst's own rights ---------------------------------------------------------------------


async def signed_out() -> str:
    raise errors.SignInNeeded("Please sign in first.")


async def test_an_analysts_query_goes_by_arm_with_their_token_and_all_that_a_query_has(
    logs, server, double
):
    double.answers = [ONE, ONE]
    url = arm_query_url(str(server.make_url("/")), WORKSPACE)
    await logs.of(token, url).run("SigninLogs", DAY, rows=50)
    await logs.ping()
    theirs, ours = double.asked
    assert url.endswith(
        f"/resourceGroups/{WORKSPACE.resource_group}/providers/Microsoft.OperationalInsights"
        f"/workspaces/{WORKSPACE.workspace}/query?api-version=2017-10-01"
    )
    assert f"{server.make_url(theirs.path)}?api-version=2017-10-01" == url
    assert theirs.headers["Authorization"] == "Bearer t0k3n"
    assert (theirs.timespan, theirs.headers["Prefer"]) == ("PT86400.0S", "wait=60")
    assert "51" in theirs.query
    assert ours.path == QUERY and "Authorization" not in ours.headers


@pytest.mark.parametrize(
    ("status", "sentence"),
    [(401, "no longer accepts your sign-in"), (403, "^You lack Log Analytics Reader or")],
)
async def test_where_azure_says_no_the_analyst_reads_what_they_lack(logs, double, status, sentence):
    double.answers = [(status, refusal("no"))]
    with pytest.raises(errors.LogsForbidden, match=sentence):
        await logs.of(token).ping()


async def test_who_has_not_signed_in_is_told_so_and_azure_is_not_asked(logs, double):
    with pytest.raises(errors.SignInNeeded):
        await logs.of(signed_out).ping()
    assert double.asked == []


# --- the metadata --------------------------------------------------------------------------------


def metadata_table(name: str, **more: Any) -> dict[str, Any]:
    columns = [{"name": "TimeGenerated", "type": "datetime"}, {"name": "User", "type": "string"}]
    return {"id": name, "name": name, "timespanColumn": "TimeGenerated", "columns": columns, **more}


def answers(metadata: Any, usage: Any = 500, watchlists: Any = 500):
    def answer(asked: Asked) -> Any:
        if asked.path == METADATA:
            return metadata
        if "Usage" in asked.query:
            return usage
        return watchlists if "Watchlist" in asked.query else ONE

    return answer


async def test_the_catalogue_tells_what_there_is_and_what_holds_data(logs, double, clock):
    double.answer = answers(
        {
            "tables": [
                metadata_table("SigninLogs", description="Interactive sign-ins."),
                metadata_table("Empty_CL"),
                metadata_table("Watchlist"),
            ],
            "functions": [{"name": "Vips", "parameters": "day:datetime", "body": "T | take 5"}],
        },
        usage=table(
            {"DataType": "string", "Megabytes": "real"}, ["SigninLogs", 812.4], ["Watchlist", 0.01]
        ),
        watchlists=table({"WatchlistAlias": "string"}, ["vips"], ["offices"], [None]),
    )
    found = await logs.metadata()
    columns = (Column("TimeGenerated", "datetime"), Column("User", "string"))
    assert found == Catalogue(
        (
            Table("SigninLogs", columns, "Interactive sign-ins.", rows=812),
            Table("Empty_CL", columns, rows=0),
            Table("Watchlist", columns, rows=1),
        ),
        (Function("Vips", "day:datetime", "T | take 5"),),
        clock.now(),
        ("offices", "vips"),
    )


@pytest.mark.parametrize("usage", [500, 400, 403, table({"DataType": "string", "M": "real"})])
async def test_without_usage_it_is_not_known_which_tables_hold_data(logs, double, usage):
    double.answer = answers({"tables": [metadata_table("SigninLogs")]}, usage)
    found = await logs.metadata()
    assert [table.rows for table in found.tables] == [None]
    assert not [query for query in double.queries if "WatchlistAlias" in query]


@pytest.mark.parametrize("metadata", [{}, {"tables": []}, [], b"<html>", {"tables": [{}, 5]}])
async def test_metadata_without_a_table_is_no_catalogue(logs, double, metadata):
    double.answer = answers(metadata)
    with pytest.raises(errors.LogsDown, match="something I cannot read"):
        await logs.metadata()


@pytest.mark.parametrize(
    ("status", "error", "tries"),
    [(403, errors.LogsForbidden, 1), (429, errors.LogsBusy, 3), (503, errors.LogsDown, 3)],
)
async def test_metadata_fails_in_the_same_words(logs, double, status, error, tries):
    double.answers = [status]
    with pytest.raises(error):
        await logs.metadata()
    assert len(double.asked) == tries


@pytest.mark.parametrize(
    ("data", "tables"),
    [
        ({"tables": [metadata_table("A"), metadata_table("A", description="again")]}, ["A"]),
        ({"tables": [metadata_table("A b"), metadata_table("B\nC"), metadata_table("")]}, []),
        ({"tables": [metadata_table("x" * 129), {"name": 5}, None, {"name": "B"}]}, ["B"]),
        ({"tables": {"name": "A"}}, []),
    ],
)
def test_a_table_without_a_usable_name_is_skipped(data, tables):
    assert [table.name for table in to_catalogue(data).tables] == tables


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"columns": None, "timespanColumn": 5}, Table("T", ())),
        ({"columns": [{"name": "A"}]}, Table("T", (Column("A", "dynamic"),))),
        ({"columns": [{"name": "A", "type": "Double"}]}, Table("T", (Column("A", "real"),))),
        ({"columns": [{"name": "A", "type": "vector"}]}, Table("T", (Column("A", "dynamic"),))),
        ({"columns": [{"name": "A|b", "type": "int"}]}, Table("T", ())),
        (
            {"columns": [{"name": "At", "type": "datetime"}], "timespanColumn": "At"},
            Table("T", (Column("At", "datetime"),), time_column="At"),
        ),
        ({"timespanColumn": "Gone"}, Table("T", ())),
        ({"description": "one\ntwo\u200b https://x.example"}, None),
        ({"description": "x" * 5000}, None),
    ],
)
def test_what_is_wrong_in_a_table_costs_no_more_than_itself(fields, expected):
    [found] = to_catalogue({"tables": [{"name": "T", **fields}]}).tables
    if expected:
        assert found == expected
    assert len(found.description) <= 400
    assert not {"\n", "\u200b"} & set(found.description) and "://x." not in found.description


NAMES = st.sampled_from(
    ["tables", "functions", "columns", "name", "type", "description", "timespanColumn", "body"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=40,
)


@given(JSON)
@settings(max_examples=200, deadline=None)
def test_no_metadata_makes_the_reader_stumble(data):
    assert isinstance(to_catalogue(data), Catalogue)


def test_the_service_s_own_example_is_read():
    if not EXAMPLES.exists():
        pytest.skip("the OpenAPI examples are not beside the project")
    body = json.loads((EXAMPLES / "metadata-get.json").read_text("utf-8"))
    said = body["responses"]["200"]["body"]
    found = to_catalogue(said)
    assert [(each.name, len(each.columns)) for each in found.tables] == [
        (each["name"], len(each["columns"])) for each in said["tables"]
    ]
    assert found.by_name["custom_CL"].time_column == "TimeGenerated"
    assert [each.name for each in found.functions] == ["dwad"]


@pytest.mark.parametrize("name", ["la-post-example.json"])
async def test_the_service_s_own_answer_is_read(logs, double, name):
    if not EXAMPLES.exists():
        pytest.skip("the OpenAPI examples are not beside the project")
    body = json.loads((EXAMPLES / name).read_text("utf-8"))["responses"]["200"]["body"]
    double.answers = [body]
    found = await logs.run("T", DAY, rows=100)
    assert len(found.rows) == len(body["tables"][0]["rows"]) and not found.capped
