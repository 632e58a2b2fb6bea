"""The playbook's queries are safe, right for their tables, and find what the incidents are about.

What a query has to find was read by hand from sandbox/logs/incidents/*.yaml.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from bot.azure.log_analytics import LogAnalytics
from bot.azure.sentinel_json import to_entity
from bot.domain.incident import Entity, Workspace
from bot.domain.query import MAX_QUERY_CHARS, Catalogue, Column, Table
from bot.domain.query_guard import guard
from bot.domain.query_lexer import lex
from bot.domain.query_text import entity_lets, entity_names
from bot.errors import SettingsError
from bot.kusto.checker import FOLDER, Checker
from bot.kusto.isolate import SERVICE
from prompts.playbook import Playbook, playbook, queries
from prompts.playbook.queries import ENTITY_NAMES, PlaybookQuery
from sandbox import log_analytics, world
from sandbox.logs.workspace import Logs, load_logs

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
WEEK = timedelta(days=7)
MOST_ROWS, MOST_COLUMNS = 30, 6
BOOK = playbook()
QUERIES = {query.name: query for query in BOOK.queries}
# One value of every kind, as an attacker might choose it.
ENTITIES = [
    Entity("", "Account", "", {"accountName": "a", "upnSuffix": "b.example", "aadUserId": "1"}),
    Entity("", "Host", "", {"hostName": 'h"1', "dnsDomain": "b.example"}),
    Entity("", "Ip", "", {"address": "192.0.2.1"}),
    Entity("", "FileHash", "", {"hashValue": "00"}),
    Entity("", "File", "", {"fileName": "x | take 1 // '.exe"}),
    Entity("", "Url", "", {"url": "https://a.example/\\"}),
    Entity("", "DnsResolution", "", {"domainName": "a.example"}),
]
# A table that the sandbox's workspace does not have, with those of its columns that are used.
ELSEWHERE = Table(
    "DeviceRegistryEvents",
    (
        Column("TimeGenerated", "datetime"),
        *(
            Column(name, "string")
            for name in (
                "DeviceName",
                "ActionType",
                "RegistryKey",
                "RegistryValueName",
                "RegistryValueData",
                "InitiatingProcessFileName",
            )
        ),
    ),
)
each_query = pytest.mark.parametrize("query", BOOK.queries, ids=lambda query: query.name)


@pytest.fixture(scope="module")
def cases() -> world.World:
    return world.load(NOW, clock=lambda: NOW)


@pytest.fixture(scope="module")
def data(cases: world.World) -> Logs:
    return load_logs(NOW, cases)


@pytest.fixture(scope="module")
def checker() -> Iterator[Checker]:
    if not all((FOLDER / name).exists() for name in SERVICE):
        pytest.skip("the language service is not here: run npm ci --ignore-scripts in bot/kusto")
    checker = Checker()
    yield checker
    with asyncio.Runner() as runner:
        runner.run(checker.close())


@pytest.fixture(scope="module")
def catalogue(data: Logs) -> Catalogue:
    """What the sandbox's workspace serves."""
    tables = (
        Table(table.name, tuple(Column(*column) for column in table.columns.items()))
        for table in data.tables.values()
    )
    return Catalogue((*tables, ELSEWHERE))


@pytest.fixture
async def logs(data: Logs) -> AsyncIterator[LogAnalytics]:
    workspace = Workspace("soc", "sub", "group", "ws", world.WORKSPACE_ID)
    async with (
        TestServer(log_analytics.app(data)) as server,
        aiohttp.ClientSession() as session,
    ):
        yield LogAnalytics(session, workspace, str(server.make_url("/")), None, StoppedClock())


class StoppedClock:
    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing is tried again")


# --- every query ---------------------------------------------------------------------------------


def test_the_names_of_entities_are_those_that_can_be_bound() -> None:
    assert set(entity_names(ENTITIES)) == set(ENTITY_NAMES)
    assert queries.MAX_QUERY_CHARS == MAX_QUERY_CHARS


def test_every_tactic_has_a_query_and_every_name_is_used() -> None:
    served = {tactic for query in BOOK.queries for tactic in query.tactics}
    assert served == {tactic.name for tactic in BOOK} | {"General"}
    assert {name for query in BOOK.queries for name in query.entities} == set(ENTITY_NAMES)


@each_query
def test_the_guard_has_nothing_to_say(query: PlaybookQuery) -> None:
    verdict = guard(entity_lets(ENTITIES, query.kql) + query.kql)
    assert (verdict.refused, verdict.warnings) == ((), ())


@each_query
def test_it_is_written_as_the_others_are(query: PlaybookQuery) -> None:
    words = [token.text for token in lex(query.kql)]
    assert all(token.kind != "comment" for token in lex(query.kql))
    assert {"take", "limit", "search", "find"}.isdisjoint(words) and "ago" in words
    assert query.purpose.endswith(".") and query.purpose.count(". ") == 0
    last = query.kql.splitlines()[-1]
    assert last.startswith("| project ") and last.count(",") < MOST_COLUMNS
    assert max(map(len, query.kql.splitlines())) <= 120


@each_query
def test_it_uses_the_names_it_declares_and_defines_none(query: PlaybookQuery) -> None:
    bound = entity_lets(ENTITIES, query.kql)
    assert {line.split()[1] for line in bound.splitlines()} == set(query.entities)


@each_query
async def test_it_binds_and_reads_the_tables_it_declares(
    query: PlaybookQuery, checker: Checker, catalogue: Catalogue
) -> None:
    checked = await checker.check(entity_lets(ENTITIES, query.kql) + query.kql, catalogue)
    assert checked is not None
    assert checked.diagnostics == ()
    assert checked.tables == tuple(sorted(query.tables))


# --- what they find in the sandbox ---------------------------------------------------------------

LENA, THIEF = "lena.fischer@contoso.com", "203.0.113.45"
APP, FILES = "srv-app-01.contoso.com", "srv-file-02.contoso.com"
FINANCE, ENGINEERING = "ws-fin-07.contoso.com", "ws-eng-19.contoso.com"
BEACON, MINUTE = "198.51.100.23", 60.0
AGENT = "system:serviceaccount:ci:agent"


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-11-{text}+00:00")


# Query, incident, how many rows (None where ordinary days add to them), and parts of some rows.
FOUND: list[tuple[str, int, int | None, list[dict[str, Any]]]] = [
    (
        "names_tried_from_addresses",
        3175,
        2,
        [{"IPAddress": "198.51.100.140", "Unknown": 0}, {"IPAddress": "198.51.100.141"}],
    ),
    (
        "signed_in_after_spray",
        3175,
        1,
        [
            {
                "TimeGenerated": at("24T01:22"),
                "UserPrincipalName": "kiosk.lobby@contoso.com",
                "IPAddress": "198.51.100.141",
                "ClientAppUsed": "IMAP4",
            }
        ],
    ),
    ("signed_in_after_spray", 3174, 0, []),
    (
        "signins_by_place",
        3174,
        2,
        [{"Location": "IT", "Addresses": 1}, {"Location": "SG", "Signins": 1}],
    ),
    (
        "signins_with_a_claimed_mfa",
        3177,
        1,
        [{"UserPrincipalName": LENA, "IPAddress": THIEF, "TimeGenerated": at("24T05:26")}],
    ),
    ("signins_with_a_claimed_mfa", 3175, 0, []),
    (
        "sessions_from_addresses",
        3177,
        None,
        [{"AppDisplayName": "Office 365 Exchange Online", "IPAddress": THIEF, "Signins": 9}],
    ),
    ("risk_detections", 3177, 1, [{"RiskEventType": "anomalousToken", "IpAddress": THIEF}]),
    (
        "methods_registered",
        3177,
        2,
        [
            {"TimeGenerated": at("24T05:38"), "Target": LENA, "By": LENA, "From": THIEF},
            {"TimeGenerated": at("24T05:35"), "ResultDescription": ""},
        ],
    ),
    ("changes_to_the_accounts", 3177, 2, [{"Account": LENA, "By": LENA, "From": THIEF}]),
    ("directory_changes", 3177, 2, [{"OperationName": "User registered security info"}]),
    (
        "mail_with_the_links",
        3177,
        14,
        [{"RecipientEmailAddress": LENA, "LatestDeliveryLocation": "Inbox/folder"}],
    ),
    ("mail_with_the_links", 3179, 1, [{"LatestDeliveryLocation": "Quarantine"}]),
    ("clicks_on_the_links", 3177, 1, [{"AccountUpn": LENA, "IsClickedThrough": True}]),
    ("mail_from_addresses", 3179, 1, [{"SenderFromDomain": "fabrikam.com", "Mails": 1}]),
    ("attachments_by_hash", 3179, 1, [{"RecipientEmailAddress": "ap@contoso.com"}]),
    ("inbox_rules", 3177, 1, [{"Operation": "New-InboxRule", "ClientIP": THIEF}]),
    (
        "mailboxes_read_from_addresses",
        3175,
        1,
        [{"UserId": "kiosk.lobby@contoso.com", "ClientIP": "198.51.100.141", "Events": 12}],
    ),
    (
        "mailboxes_read_from_addresses",
        3177,
        None,
        [
            {"UserId": LENA, "Operation": "MailItemsAccessed", "ClientIP": THIEF, "Events": 38},
        ],
    ),
    (
        "files_taken_by_accounts",
        3170,
        2,
        [
            {"Hour": at("23T03:00"), "Files": 1_129, "Sites": 1},
            {"Hour": at("23T04:00"), "Files": 1_185},
        ],
    ),
    ("files_taken_by_accounts", 3164, 2, [{"Sites": 31}]),
    (
        "archives_on_hosts",
        3170,
        3,
        [{"DeviceName": ENGINEERING, "TimeGenerated": at("23T04:39")}],
    ),
    ("renamed_tools", 3170, 1, [{"FileName": "teamsupdate.exe", "Original": "rclone.exe"}]),
    ("renamed_tools", 3178, 1, [{"FileName": "pd64.exe", "Original": "procdump"}]),
    (
        "script_hosts",
        3176,
        1,
        [{"DeviceName": FINANCE, "InitiatingProcessFileName": "explorer.exe"}],
    ),
    (
        "libraries_from_user_folders",
        3176,
        1,
        [{"DeviceName": FINANCE, "InitiatingProcessFileName": "powershell.exe"}],
    ),
    ("files_by_hash", 3176, 1, [{"DeviceName": FINANCE, "ActionType": "FileCreated"}]),
    ("files_by_hash", 3178, 1, [{"DeviceName": APP, "ActionType": "ProcessCreated"}]),
    ("files_by_name", 3176, 1, [{"DeviceName": FINANCE, "Events": 1}]),
    (
        "services_installed",
        3178,
        1,
        [{"Computer": FILES, "ServiceName": "xkqvdrtw", "SubjectAccount": "CONTOSO\\svc-backup"}],
    ),
    (
        "remote_logons",
        3178,
        2,
        [
            {"DeviceName": APP, "LogonType": "RemoteInteractive", "RemoteIP": "192.0.2.61"},
            {"DeviceName": FILES, "LogonType": "Network", "RemoteIP": "192.0.2.201"},
        ],
    ),
    (
        "logons_from_addresses",
        3178,
        1,
        [{"Computer": APP, "LogonTypeName": "10 - RemoteInteractive", "Succeeded": 1, "Failed": 0}],
    ),
    (
        "special_privileges",
        3178,
        1,
        [{"PrivilegeList": "SeBackupPrivilege SeRestorePrivilege SeDebugPrivilege"}],
    ),
    (
        "credentials_read_from_memory",
        3178,
        1,
        [{"TimeGenerated": at("24T07:02"), "DeviceName": APP}],
    ),
    (
        "protection_turned_off",
        3178,
        2,
        [{"ActionType": "TamperingAttempt", "By": "svc-backup"}, {"ActionType": "ProcessCreated"}],
    ),
    (
        "recovery_destroyed",
        3178,
        1,
        [
            {
                "DeviceName": FILES,
                "InitiatingProcessAccountName": "svc-backup",
                "ProcessCommandLine": "vssadmin.exe delete shadows /all /quiet",
            }
        ],
    ),
    ("mass_file_changes", 3178, 0, []),
    ("services_stopped", 3178, 0, []),
    (
        "discovery_commands",
        3176,
        3,
        [
            {"ProcessCommandLine": "whoami /all", "InitiatingProcessFileName": "rundll32.exe"},
            {"ProcessCommandLine": "nltest /domain_trusts", "TimeGenerated": at("24T02:08")},
        ],
    ),
    (
        "beacon_rhythm",
        3176,
        1,
        [
            {
                "SourceIP": "192.0.2.107",
                "DestinationIP": BEACON,
                "Connections": 312,
                "Seconds": MINUTE,
                "Last": at("24T07:03"),
            }
        ],
    ),
    (
        "who_contacts_domains",
        3176,
        1,
        [{"DeviceName": FINANCE, "InitiatingProcessFileName": "rundll32.exe", "Connections": 40}],
    ),
    ("processes_behind_addresses", 3176, 1, [{"RemoteIP": BEACON, "Connections": 40}]),
    ("processes_behind_addresses", 3178, 1, [{"DeviceName": APP, "Connections": 1}]),
    ("names_looked_up", 3176, 0, []),
    (
        "bytes_to_addresses",
        3170,
        1,
        [{"Megabytes": 6_657.2, "Client": "rclone/v1.68", "First": at("23T04:58")}],
    ),
    ("probes_by_addresses", 3175, 0, []),
    ("control_system_traffic", 3176, 0, []),
    (
        "azure_operations",
        3172,
        1,
        [{"Caller": "ci-agent", "CallerIpAddress": "203.0.113.77", "ResourceGroup": "web"}],
    ),
    (
        "cluster_rights_given",
        3172,
        6,
        [
            {"TimeGenerated": at("23T20:26"), "Who": AGENT, "Role": "cluster-admin"},
            {"TimeGenerated": at("23T20:29"), "From": "203.0.113.77", "Role": ""},
        ],
    ),
    ("alerts_of_accounts", 3177, 4, [{"AlertName": "Stolen session cookie was used"}]),
    ("alerts_of_hosts", 3178, 5, [{"AlertName": "Shadow copies were deleted"}]),
    ("who_the_accounts_are", 3178, 1, [{"BlastRadius": "High", "IsMFARegistered": False}]),
    ("connectors_that_failed", 3171, 1, [{"SentinelResourceName": "Syslog via AMA"}]),
    (
        "machines_that_fell_silent",
        3171,
        1,
        [{"Computer": "srv-log-01.contoso.com", "LastSeen": at("23T14:19")}],
    ),
]


def test_all_queries_but_those_for_missing_tables_are_run() -> None:
    missing = {name for name, query in QUERIES.items() if ELSEWHERE.name in query.tables}
    assert {name for name, *_ in FOUND} == set(QUERIES) - missing


@pytest.mark.parametrize(
    ("name", "incident", "count", "parts"),
    FOUND,
    ids=[f"{name}-{incident}" for name, incident, *_ in FOUND],
)
async def test_it_finds_what_the_incident_is_about(
    cases: world.World,
    logs: LogAnalytics,
    name: str,
    incident: int,
    count: int | None,
    parts: list[dict[str, Any]],
) -> None:
    query = QUERIES[name]
    case = cases.by_number(incident)
    assert case is not None
    entities = [to_entity(each) for each in case.entities]
    assert set(query.entities) <= set(entity_names(entities))
    found = await logs.run(entity_lets(entities, query.kql) + query.kql, WEEK, rows=MOST_ROWS)
    rows = [
        dict(zip((column.name for column in found.columns), row, strict=True)) for row in found.rows
    ]
    assert count is None or len(rows) == count
    for part in parts:
        assert any(part.items() <= row.items() for row in rows), (part, rows)


# --- which queries an incident is offered --------------------------------------------------------


def query(name: str, tactics: str, entities: str = "", tables: str = "T") -> PlaybookQuery:
    return PlaybookQuery(
        name, name, "", tuple(tactics.split()), tuple(tables.split()), tuple(entities.split()), ""
    )


@pytest.fixture(scope="module")
def book() -> Playbook:
    return Playbook(
        BOOK.tactics,
        BOOK.general,
        (
            query("any", "General", "accounts"),
            query("both", "Discovery Impact", "hosts"),
            query("found", "Discovery", "hosts", "T U"),
            query("needs two", "Impact", "hosts accounts"),
            query("nothing needed", "Impact"),
        ),
    )


@pytest.mark.parametrize(
    ("tactics", "names", "tables", "offered"),
    [
        ("Impact", "hosts", "T", "nothing needed, both"),
        ("impact", "hosts accounts", "T", "needs two, nothing needed, both, any"),
        ("Discovery Impact", "hosts", "T U", "nothing needed, both, found"),
        ("Discovery", "hosts accounts", "T", "both, any"),
        ("Discovery", "hosts accounts", None, "both, found, any"),
        ("Discovery", "hosts accounts", "", ""),
        ("Stealth", "hosts accounts", None, "any"),
        ("", "", None, ""),
    ],
)
def test_what_fits_comes_by_urgency_and_the_general_last(
    book: Playbook, tactics: str, names: str, tables: str | None, offered: str
) -> None:
    has = None if tables is None else tables.split()
    found = book.queries_for(iter(tactics.split()), names.split(), has)
    assert ", ".join(each.name for each in found) == offered


@pytest.mark.parametrize("number", [3164, 3170, 3172, 3174, 3175, 3176, 3177, 3178, 3179])
def test_every_incident_of_the_sandbox_is_offered_some(
    cases: world.World, data: Logs, number: int
) -> None:
    case = cases.by_number(number)
    assert case is not None
    names = entity_names([to_entity(each) for each in case.entities])
    tactics = [tactic for alert in case.alerts for tactic in alert["properties"]["tactics"]]
    offered = BOOK.queries_for(tactics, names, data.tables)
    assert len(offered) >= 5
    assert set(offered[0].tactics) & set(tactics)


def test_an_incident_that_names_nothing_is_offered_what_needs_nothing(data: Logs) -> None:
    offered = BOOK.queries_for([], [], data.tables)
    assert [each.name for each in offered] == [
        "connectors_that_failed",
        "machines_that_fell_silent",
    ]


# --- an own folder -------------------------------------------------------------------------------

GOOD = """// title: T
// purpose: Says so.
// tactics: Impact, General
// tables: Own_CL, Other_CL
// entities: hosts, accounts

Own_CL
| where Computer in (hosts)
"""


def put(folder: Path, text: str, name: str = "own") -> Path:
    (folder / "playbook" / "kql").mkdir(parents=True)
    (folder / "playbook" / "kql" / f"{name}.kql").write_text(text)
    return folder


def test_an_own_file_adds_a_query(tmp_path: Path) -> None:
    own = playbook(put(tmp_path, GOOD)).queries
    assert own[:-1] == BOOK.queries
    assert own[-1] == PlaybookQuery(
        "own",
        "T",
        "Says so.",
        ("Impact", "General"),
        ("Own_CL", "Other_CL"),
        ("hosts", "accounts"),
        "Own_CL\n| where Computer in (hosts)",
    )


def test_an_own_file_replaces_the_query_of_its_name(tmp_path: Path) -> None:
    own = {each.name: each for each in playbook(put(tmp_path, GOOD, "inbox_rules")).queries}
    assert own["inbox_rules"].tables == ("Own_CL", "Other_CL")
    assert len(own) == len(QUERIES)


def test_an_own_tactic_can_have_queries(tmp_path: Path) -> None:
    put(tmp_path, GOOD.replace("Impact", "Stealth"))
    (tmp_path / "playbook" / "own.yaml").write_text(
        "{name: Stealth, title: S, description: S, first_questions: [], tasks: []}"
    )
    assert playbook(tmp_path).queries_for(["Stealth"], ["hosts", "accounts"])[0].name == "own"


@pytest.mark.parametrize(
    ("old", "new", "complaints"),
    [
        ("// title: T\n", "", ["title is missing"]),
        ("// title: T\n", "// title:\n", ["title is missing"]),
        ("// purpose: Says so.\n", "", ["purpose is missing"]),
        ("// tactics: Impact, General\n", "", ["tactics is missing"]),
        ("// tables: Own_CL, Other_CL\n", "", ["tables is missing"]),
        ("// entities: hosts, accounts\n", "", ["entities is missing"]),
        ("// title: T\n", "// titel: T\n", ["title is missing", "has titel but knows only title"]),
        ("// title: T\n", "// title: T\n//\n", ["has a line but knows only title"]),
        ("hosts, accounts", "hosts, users, ips", ["be none, not users", "be none, not ips"]),
        ("Impact, General", "Impact, Impct", ["there is no tactic Impct"]),
        ("title: T", f"title: {'T' * 61}", ["the title has more than 60 characters"]),
        ("Says so.", "So. " * 60, ["the purpose has more than 200 characters"]),
        ("| where", "x" * 10_000, ["the query has more than 10,000 characters"]),
        ("Own_CL\n| where Computer in (hosts)", "", ["there is no query below the header"]),
        (GOOD, "", [*(["is missing"] * 5), "there is no query"]),
    ],
)
def test_all_that_is_wrong_with_an_own_file_is_said_at_start(
    tmp_path: Path, old: str, new: str, complaints: list[str]
) -> None:
    assert old in GOOD
    with pytest.raises(SettingsError) as raised:
        playbook(put(tmp_path, GOOD.replace(old, new)))
    problems = raised.value.problems
    assert len(problems) == len(complaints)
    for problem, complaint in zip(problems, complaints, strict=True):
        assert problem.startswith("playbook/kql/own.kql: ") and complaint in problem


def test_a_file_that_is_no_text_is_said_at_start(tmp_path: Path) -> None:
    put(tmp_path, "")
    (tmp_path / "playbook" / "kql" / "own.kql").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match=r"own\.kql: cannot be read"):
        playbook(tmp_path)
