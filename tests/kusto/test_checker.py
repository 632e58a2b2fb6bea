"""What the checker says of a query, as tables of query and answer."""

from __future__ import annotations

import pytest

from bot.domain.query import (
    MAX_QUERY_CHARS,
    Catalogue,
    Checked,
    Column,
    Diagnostic,
    Function,
    Table,
)
from bot.kusto.checker import Checker
from tests.kusto import corpus

TABLES = corpus.small().tables
FUNCTIONS = (
    Function("Logons", "who: string = '*', days: int = 1", "SecurityEvent | where Account == who"),
    Function("Refused", "(code: string)", "SigninLogs | where ResultType == code"),
    Function("Broken", "(((", "no | such ||| thing"),
    Function("imDns", "", "DnsEvents | project SrcIpAddr = ClientIP, DnsQuery = Name"),
    Function("_Im_FileEvent", "", "DeviceFileEvents | project FilePath = FolderPath"),
)
CATALOGUE = Catalogue(TABLES, FUNCTIONS, watchlists=("VIPUsers", "TorExits"))


async def check(checker: Checker, query: str, catalogue: Catalogue = CATALOGUE) -> Checked:
    checked = await checker.check(query, catalogue)
    assert checked is not None
    return checked


def at(query: str, found: Diagnostic) -> str:
    return query[found.start : found.start + found.length]


# --- what is wrong, where, and what was meant ----------------------------------------------------


@pytest.mark.parametrize(
    ("query", "code", "where", "meant"),
    [
        ("SecurityEvnt | take 1", "KS204", "SecurityEvnt", "SecurityEvent"),
        ("securityevent | take 1", "KS204", "securityevent", "SecurityEvent"),
        ("SecurityEvent | where EventIDD == 1", "KS142", "EventIDD", "EventID"),
        (
            "SecurityEvent | where timegenerated > ago(1d)",
            "KS142",
            "timegenerated",
            "TimeGenerated",
        ),
        ("SecurityEvent | where ['Acount'] == 'x'", "KS142", "['Acount']", "Account"),
        ("SecurityEvent | project-away Acount", "KS142", "Acount", "Account"),
        ("SecurityEvent | project Who = Account | where Wo == ''", "KS142", "Wo", "Who"),
        ("let limit = 5; SecurityEvent | where EventID > limt", "KS142", "limt", "limit"),
        ("SigninLogs | where UserId in (SigninLgs)", "KS142", "SigninLgs", "SigninLogs"),
        (
            "SecurityEvent | join SigninLogs on $left.Account == $right.UserID",
            "KS142",
            "UserID",
            "UserId",
        ),
        ("SecurityEvent | lookup Heartbeat on Acount", "KS142", "Acount", ""),
        ("SecurityEvent | join SigninLogs on Account", "KS145", "Account", ""),
        ("SecurityEvent | where strln(Account) > 1", "KS211", "strln", "strlen"),
        ("SecurityEvent | summarize dcont(Account)", "KS211", "dcont", "dcount"),
        ("let twice = (n: int) { n * 2 }; print twic(2)", "KS211", "twic", "twice"),
        ("Logns() | take 1", "KS211", "Logns", "Logons"),
        ("SecurityEvent | evaluate bag_unpak(EventData)", "KS124", "bag_unpak", "bag_unpack"),
        ("SecurityEvent | wher EventID == 1", "KS176", "wher", "where"),
        ("SecurityEvent | summarise count()", "KS176", "summarise", "summarize"),
        ("_Im_Dns(startime=ago(1d))", "KS196", "startime", "starttime"),
        ("Logons(whom='x')", "KS196", "whom", "who"),
        ("SecurityEvent | extend n = strlen()", "KS119", "strlen", ""),
        ("SecurityEvent | where EventID has 'x'", "KS106", "has", ""),
        ("SecurityEvent | where (EventID == 1", "KS005", "", ""),
        ("SecurityEvent | where EventID == 1 and " + "(" * 600 + "1" + ")" * 600, "KS245", "", ""),
    ],
)
async def test_an_error_has_its_place_and_the_nearest_name(
    checker: Checker, query: str, code: str, where: str, meant: str
) -> None:
    checked = await check(checker, query)
    assert not checked.good
    first = checked.diagnostics[0]
    assert (first.code, first.severity, at(query, first)) == (code, "error", where)
    assert first.nearest[:1] == ((meant,) if meant else ())
    assert len(first.nearest) <= 3


async def test_what_follows_a_syntax_error_is_not_told(checker: Checker) -> None:
    checked = await check(checker, "SecurityEvent | wher Nothing == 1 | project Neither")
    assert [each.code for each in checked.diagnostics] == ["KS176"]


async def test_several_errors_come_in_the_order_of_the_text(checker: Checker) -> None:
    query = "SigninLgs | take 1; SecurityEvent | where Acount == 'x' | extend b = strln(Computr)"
    checked = await check(checker, query)
    assert [at(query, each) for each in checked.diagnostics] == [
        "SigninLgs",
        "Acount",
        "strln",
        "Computr",
    ]


async def test_a_place_is_told_once(checker: Checker) -> None:
    checked = await check(checker, "SecurityEvent | project-rename A = Acount")
    assert [(each.code, each.nearest[0]) for each in checked.diagnostics] == [("KS142", "Account")]


async def test_no_more_than_twenty_are_told(checker: Checker) -> None:
    wrong = ", ".join(f"Nonsense{n}" for n in range(100))
    assert len((await check(checker, f"SecurityEvent | project {wrong}")).diagnostics) == 20


# --- Log Analytics is not Azure Data Explorer ----------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        "AzureDiagnostics | where whatever_s == 'x' | summarize count() by other_d",
        "_GetWatchlist('VIPUsers') | where Anything == 1 | project SearchKey, Everything",
        '_GetWatchlist("vipusers") | take 1',
        "_GetWatchlist(@'TorExits') | take 1",
        "_GetWatchlistAlias | take 1",
        "_Im_Dns | where DnsQuery has 'x'",
        "_Im_Authentication(starttime=ago(1d), eventresult='Failure') | project SrcIpAddr",
        "_ASim_NetworkSession() | where DstPortNumber == 22",
        "imDns | where DnsQuery has 'x' | project SrcIpAddr",
        "Logons | take 1",
        "Logons('me', days=3) | where EventID == 4624",
        "Refused('50126') | summarize count() by UserPrincipalName",
        "Broken() | take 1",
        "union isfuzzy=true SecurityEvent, SigninLogs",
        "SecurityEvent\n\n| where EventID == 1  // a comment\n| take 1;",
    ],
)
async def test_accepted_without_a_word(checker: Checker, query: str) -> None:
    checked = await check(checker, query)
    assert checked.diagnostics == ()


@pytest.mark.parametrize(
    ("query", "code", "where"),
    [
        ("SecurityEvent | summarize count(EventID)", "KS107", "EventID"),
        ("print x = todynamic(dynamic({'a': 1}))", "KS107", "dynamic({'a': 1})"),
        ("union isfuzzy=true SecurityEvent, SigninLgs", "KS205", "SigninLgs"),
        ("_GetWatchlist('VIPUser') | take 1", "watchlist", "'VIPUser'"),
    ],
)
async def test_only_a_warning(checker: Checker, query: str, code: str, where: str) -> None:
    checked = await check(checker, query)
    assert checked.good
    assert [(each.code, each.severity, at(query, each)) for each in checked.diagnostics] == [
        (code, "warning", where)
    ]


async def test_other_wrong_types_stay_errors(checker: Checker) -> None:
    assert not (await check(checker, "SecurityEvent | summarize countif(EventID)")).good


async def test_a_watchlist_is_not_doubted_where_none_is_known(checker: Checker) -> None:
    assert not (await check(checker, "_GetWatchlist('Any')", Catalogue(TABLES))).diagnostics


async def test_the_catalogues_own_function_takes_the_place_of_the_one_we_assume(
    checker: Checker,
) -> None:
    query = "_Im_FileEvent | project FilPath"
    assert not (await check(checker, query)).good
    assert (await check(checker, query, Catalogue(TABLES))).good


@pytest.mark.parametrize("name", ["imFileEvent", "ASimDns", "vimDnsInfoblox"])
async def test_parsers_deployed_by_hand_exist_only_in_the_catalogue(
    checker: Checker, name: str
) -> None:
    assert not (await check(checker, f"{name} | take 1")).good


@pytest.mark.parametrize(
    ("query", "where", "tables"),
    [
        ('workspace("other").SecurityEvent | take 1', ["workspace"], ("SecurityEvent",)),
        (
            "union SigninLogs, app('a').SecurityEvent, resource ( 'r' ) . SigninLogs",
            ["app", "resource"],
            ("SecurityEvent", "SigninLogs"),
        ),
        ('adx("https://x/y").SecurityEvent', ["adx"], ("SecurityEvent",)),
    ],
)
async def test_what_reads_elsewhere_is_an_error_and_the_rest_is_checked(
    checker: Checker, query: str, where: list[str], tables: tuple[str, ...]
) -> None:
    checked = await check(checker, query)
    assert [(each.code, at(query, each)) for each in checked.diagnostics] == [
        ("elsewhere", name) for name in where
    ]
    assert checked.tables == tables
    assert "".join(token.text for token in checked.tokens) == query.replace(" ", "")


async def test_the_word_alone_reads_nothing_elsewhere(checker: Checker) -> None:
    query = "print workspace = 'a', app = \"workspace('x').T\" // resource('x').T"
    assert (await check(checker, query)).diagnostics == ()


@pytest.mark.parametrize(
    ("query", "code"),
    [
        (".show tables", "not-a-query"),
        (" // hello\n  .drop table SecurityEvent", "not-a-query"),
        ("#crp on\nSecurityEvent | take 1", "not-a-query"),
        ("", "empty"),
        (" \n ", "empty"),
        ("// nothing but a comment", "empty"),
        ("x" * (MAX_QUERY_CHARS + 1), "too-long"),
    ],
)
async def test_what_is_no_query_of_ours(checker: Checker, query: str, code: str) -> None:
    checked = await check(checker, query)
    assert not checked.good
    assert [each.code for each in checked.diagnostics] == [code]


# --- tables --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "tables"),
    [
        ("print 1", ()),
        (
            "let t = SecurityEvent; t | where Account in ((SigninLogs | project UserId))",
            ("SecurityEvent", "SigninLogs"),
        ),
        (
            "Logons() | join imDns on $left.Computer == $right.SrcIpAddr",
            ("DnsEvents", "SecurityEvent"),
        ),
        ("let f = (n: int) { Heartbeat | take n }; f(2)", ("Heartbeat",)),
        (
            "union Sec*, Heartbeat",
            ("Heartbeat", "SecurityAlert", "SecurityEvent", "SecurityIncident"),
        ),
        (
            "search in (Syslog, Device*Events) 'x'",
            (
                "DeviceEvents",
                "DeviceFileEvents",
                "DeviceLogonEvents",
                "DeviceNetworkEvents",
                "DeviceProcessEvents",
                "DeviceRegistryEvents",
                "Syslog",
            ),
        ),
        ("find in (SecurityEvent) where EventID == 1", ("SecurityEvent",)),
        ("datatable(a: int) [1] | join kind=inner (Usage | extend a = 1) on a", ("Usage",)),
        ("_GetWatchlist('VIPUsers')", ()),
        ("SigninLgs | join SecurityEvent on Account", ("SecurityEvent",)),
    ],
)
async def test_the_tables_a_query_refers_to(
    checker: Checker, query: str, tables: tuple[str, ...]
) -> None:
    assert (await check(checker, query)).tables == tables


# --- tokens --------------------------------------------------------------------------------------


async def test_tokens_are_the_services_own(checker: Checker) -> None:
    query = (
        "// first\nset x = 1; T /*| where ['a b'] =~ @\"c\\\" and t > 1.5h  // last\n"
        "| extend d = datetime(2026-01-01), e = h'secret' \\ "
    )
    checked = await check(checker, query)
    assert all(
        query[token.start : token.start + len(token.text)] == token.text for token in checked.tokens
    )
    by_kind = {
        kind: [token.text for token in checked.tokens if token.kind == kind]
        for kind in ("name", "number", "string", "operator", "comment", "unknown")
    }
    assert by_kind == {
        "name": ["set", "x", "T", "where", "and", "t", "extend", "d", "e"],
        "number": ["1", "1.5h", "datetime(2026-01-01)"],
        "string": ["'a b'", '@"c\\"', "h'secret'"],
        "operator": ["=", ";", "/", "*", "|", "[", "]", "=~", ">", "|", "=", ",", "="],
        "comment": ["// first", "// last"],
        "unknown": ["\\"],
    }


async def test_characters_outside_the_basic_plane_count_as_one(checker: Checker) -> None:
    query = "print a = '🦊🦊', b = '\ud800' | where Acount == '🦊' // 🦊"
    checked = await check(checker, query)
    assert [at(query, each) for each in checked.diagnostics] == ["Acount"]
    assert [token.text for token in checked.tokens if token.kind in ("string", "comment")] == [
        "'🦊🦊'",
        "'\ud800'",
        "'🦊'",
        "// 🦊",
    ]


async def test_javascript_in_a_query_is_text(checker: Checker) -> None:
    query = "print \"');throw 1;('\", '\u2028${1}`', @'\\'"
    assert (await check(checker, query)).good


# --- catalogues ----------------------------------------------------------------------------------


async def test_each_workspace_has_its_own_tables(checker: Checker) -> None:
    ours, theirs = (
        Catalogue((Table(name, (Column("Id", "string"), Column("Odd", "no such type"))),))
        for name in ("Ours_CL", "Theirs_CL")
    )
    for _ in range(2):
        assert (await check(checker, "Ours_CL | where Id == ''", ours)).good
        assert not (await check(checker, "Ours_CL | take 1", theirs)).good
        assert (await check(checker, "Theirs_CL | where Odd == 1", theirs)).good


async def test_a_refreshed_catalogue_takes_effect(checker: Checker) -> None:
    for n in range(7):  # more than are kept
        catalogue = Catalogue((Table(f"T{n}_CL", (Column("Id", "string"),)),))
        assert (await check(checker, f"T{n}_CL | where Id == ''", catalogue)).tables == (
            f"T{n}_CL",
        )
