"""Which tables a question is about. The questions are in analysts' own words."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.catalogue import choose_tables, columns_within, nearest
from bot.domain.catalogue_hints import ENTITY_COLUMNS, TABLE_WORDS, TACTIC_TABLES
from bot.domain.query import Catalogue, Column, Table
from tests.counting import estimate
from tests.domain import small_catalogue
from tests.domain.small_catalogue import table

LARGE = Path(__file__).parents[2] / ".." / "shared" / "kql" / "tables.json"
SMALL = small_catalogue.catalogue()


@pytest.fixture(scope="module", params=["a small workspace", "every table there is"])
def catalogue(request: pytest.FixtureRequest) -> Catalogue:
    if request.param == "a small workspace":
        return SMALL
    if not LARGE.exists():
        pytest.skip("the 698-table schema is not beside the project")
    tables = json.loads(LARGE.read_text("utf-8"))
    return Catalogue(
        tuple(
            Table(name, tuple(Column(*column) for column in columns.items()))
            for name, columns in tables.items()
        )
    )


def chosen(
    catalogue: Catalogue,
    question: str,
    kinds: Sequence[str] = (),
    tactics: Sequence[str] = (),
    limit: int = 12,
) -> list[str]:
    return [each.name for each in choose_tables(catalogue, question, kinds, tactics, limit)]


@pytest.mark.parametrize(
    ("question", "kinds", "tactic", "wanted"),
    [
        ("Did she sign in from other countries?", "Account Ip", "InitialAccess", "SigninLogs"),
        ("Show all failed logins for the account", "Account", "CredentialAccess", "SigninLogs"),
        ("was MFA satisfied?", "Account", "InitialAccess", "SigninLogs"),
        ("show me login attempts from 203.0.113.7", "", "", "SigninLogs"),
        ("when was the password last reset", "Account", "", "AuditLogs"),
        ("Did somebody grant consent to an application?", "CloudApplication", "", "AuditLogs"),
        ("Were members added to privileged groups?", "Account", "", "AuditLogs"),
        ("risky users in the last 30 days", "Account", "", "AADRiskyUsers"),
        ("manager and department of jane@contoso.com", "", "", "IdentityInfo"),
        ("ldap enumeration from this host", "Host", "Discovery", "IdentityQueryEvents"),
        ("unusual compared to peers?", "Account", "", "BehaviorAnalytics"),
        ("Which inbox rules did the user create?", "Account", "Persistence", "OfficeActivity"),
        ("files she downloaded from SharePoint", "Account", "Exfiltration", "OfficeActivity"),
        ("Who else received the same mail?", "MailMessage", "InitialAccess", "EmailEvents"),
        ("Did anyone click the link?", "Url MailMessage", "InitialAccess", "UrlClickEvents"),
        ("What processes ran around the alert?", "Host", "Execution", "DeviceProcessEvents"),
        ("powershell with an encoded command line", "Host", "", "DeviceProcessEvents"),
        ("which hosts connected to this address?", "Ip", "", "DeviceNetworkEvents"),
        ("beaconing to rare domains", "Host", "CommandAndControl", "DeviceNetworkEvents"),
        ("files renamed with a strange extension", "Host", "Impact", "DeviceFileEvents"),
        (f"is {'9f86d081' * 8} on any machine?", "", "", "DeviceFileEvents"),
        ("run keys changed in the registry", "Host", "Persistence", "DeviceRegistryEvents"),
        ("RDP logons to the server", "Host", "LateralMovement", "DeviceLogonEvents"),
        ("dll side loading", "Host", "DefenseEvasion", "DeviceImageLoadEvents"),
        ("scheduled tasks created on the host", "Host", "Persistence", "DeviceEvents"),
        ("which devices have this vulnerability?", "Host", "", "DeviceTvmSoftwareVulnerabilities"),
        ("event 4625 on the domain controller", "Host", "CredentialAccess", "SecurityEvent"),
        ("ssh logins on the linux box", "Host", "CredentialAccess", "Syslog"),
        ("what did the firewall let through?", "Ip", "Exfiltration", "CommonSecurityLog"),
        ("dns lookups of this domain", "DnsResolution", "CommandAndControl", "DnsEvents"),
        ("webshell requests to the web server", "Host", "Persistence", "W3CIISLog"),
        ("which virtual machines were deleted?", "AzureResource", "Impact", "AzureActivity"),
        ("secrets read from the key vault", "AzureResource", "CredentialAccess", "AZKVAuditLogs"),
        ("blobs taken from the storage account", "AzureResource", "", "StorageBlobLogs"),
        ("which s3 buckets were touched?", "Account", "Exfiltration", "AWSCloudTrail"),
        ("kubectl exec into pods", "Account", "Execution", "AKSAudit"),
        ("is the address a known indicator?", "Ip", "", "ThreatIntelligenceIndicator"),
        ("what other alerts are there for this user?", "Account", "", "SecurityAlert"),
        # The words are of another language: the incident says where to look.
        ("Hat sich der Benutzer woanders angemeldet?", "Account Ip", "InitialAccess", "SigninLogs"),
        ("quali file sono stati cifrati", "Host File", "Impact", "DeviceFileEvents"),
        ("¿Quién más recibió el correo?", "MailMessage", "InitialAccess", "EmailEvents"),
        ("And then?", "Account Ip", "InitialAccess", "SigninLogs"),
    ],
)  # fmt: skip
def test_the_right_table_is_among_the_first_five(
    catalogue: Catalogue, question: str, kinds: str, tactic: str, wanted: str
) -> None:
    found = chosen(catalogue, question, kinds.split(), tactic.split())
    assert wanted in found[:5]
    assert len(found) <= 12 and len(set(found)) == len(found)


# --- what else decides ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "first"),
    [
        ("take 10 from MeterMetrics_CL", "MeterMetrics_CL"),
        ("what is in metermetrics_cl?", "MeterMetrics_CL"),
        ("compare SigninLogs with turbines", "SigninLogs"),
        ("which turbine had errors?", "TurbineErrors_CL"),
    ],
)
def test_a_table_of_their_own_is_found_by_its_name(question: str, first: str) -> None:
    assert chosen(SMALL, question)[0] == first


def test_a_table_is_found_by_what_its_description_and_columns_say() -> None:
    described = table("X17_CL", "Value", description="Badge readers at the doors of all offices.")
    by_column = table("X18_CL", "GateNumber", "VisitorName")
    mine = Catalogue((*SMALL.tables, described, by_column))
    assert chosen(mine, "who used a badge at the door?")[0] == "X17_CL"
    assert chosen(mine, "visitors at the gates")[0] == "X18_CL"


def test_a_word_that_is_also_a_table_does_not_win() -> None:
    assert "SecurityEvent" in chosen(SMALL, "logon events for the alert", ["Host"])[:5]


def test_a_table_that_holds_nothing_comes_after_one_that_does() -> None:
    def holding(**rows: int) -> Catalogue:
        kept = [replace(each, rows=rows.get(each.name, 0)) for each in SMALL.tables]
        return Catalogue(tuple(kept))

    question = "which virtual machines were deleted?"
    assert chosen(holding(AzureActivity=5), question)[0] == "AzureActivity"
    assert chosen(holding(DeviceFileEvents=5), question)[0] == "DeviceFileEvents"
    sign_ins = ("SigninLogs", "AADNonInteractiveUserSignInLogs")
    assert chosen(holding(SigninLogs=1, AADNonInteractiveUserSignInLogs=9), "sign-ins")[:2] == [
        *reversed(sign_ins)
    ]
    assert chosen(SMALL, "sign-ins")[:2] == [*sign_ins]


@pytest.mark.parametrize("question", ["", "and then?", "???", "\u202e\x00", "看"])
def test_without_any_clue_the_usual_tables_come_first(question: str) -> None:
    found = chosen(SMALL, question, limit=5)
    assert len(found) == 5 and set(found) <= set(TABLE_WORDS)
    own = Catalogue((table("A_CL", "X", rows=1), table("B_CL", "X", rows=9)))
    assert chosen(own, question) == ["B_CL", "A_CL"]


@pytest.mark.parametrize(("limit", "count"), [(0, 0), (1, 1), (3, 3)])
def test_there_are_never_more_than_asked_for(limit: int, count: int) -> None:
    assert len(chosen(SMALL, "sign-ins", ["Account"], limit=limit)) == count


def test_an_empty_catalogue_gives_nothing() -> None:
    assert chosen(Catalogue(()), "sign-ins", ["Account"], ["Impact"]) == []


def test_kinds_and_tactics_nobody_knows_do_no_harm() -> None:
    assert chosen(SMALL, "inbox rules", ["Spaceship", ""], ["Nonsense", ""])[0] == "OfficeActivity"


@given(st.text(max_size=300), st.lists(st.sampled_from(sorted(ENTITY_COLUMNS))))
@settings(max_examples=50, deadline=None)
def test_any_text_is_a_question(question: str, kinds: list[str]) -> None:
    assert len(chosen(SMALL, question, kinds, ["Impact"], 7)) <= 7


def test_every_hint_is_about_a_table_there_is() -> None:
    if not LARGE.exists():
        pytest.skip("the 698-table schema is not beside the project")
    tables = json.loads(LARGE.read_text("utf-8"))
    hinted = {*TABLE_WORDS, *(name for names in TACTIC_TABLES.values() for name in names)}
    assert hinted - set(tables) == set()
    columns = {column for columns in tables.values() for column in columns}
    known = {name for names in ENTITY_COLUMNS.values() for name in names}
    assert known - columns == set()


# --- the prompt's lines --------------------------------------------------------------------------

SIGN_INS = SMALL.by_name["SigninLogs"]


def test_a_table_is_one_line_with_its_time_first_and_nothing_dull() -> None:
    shown = replace(SIGN_INS, description="Sign-ins.")
    assert columns_within([shown], estimate, 1_000) == (
        "SigninLogs(TimeGenerated:datetime, UserPrincipalName:string, IPAddress:string, "
        "Location:string, ResultType:string, AppDisplayName:string, LocationDetails:string, "
        "MfaDetail:string) // Sign-ins."
    )


@pytest.mark.parametrize(
    ("columns", "time", "line"),
    [
        ((), "TimeGenerated", "T()"),
        (("TenantId", "Type"), "TimeGenerated", "T(TenantId:string, Type:string)"),
        (("Zebra", "Account", "At"), "At", "T(At:string, Account:string, Zebra:string)"),
    ],
)
def test_odd_tables_have_a_line_too(columns: Sequence[str], time: str, line: str) -> None:
    odd = Table("T", tuple(Column(name, "string") for name in columns), time_column=time)
    assert columns_within([odd], estimate, 100) == line


def test_a_description_is_shortened_and_stays_one_harmless_line() -> None:
    said = "First\nline \u202e see https://evil.example " + "x" * 500
    line = columns_within([replace(SIGN_INS, description=said)], estimate, 1_000)
    about = line.split(" // ")[1]
    assert len(about) <= 100 and "\n" not in line
    assert "hxxps://evil[.]example" in about and "[U+202E]" in about


@pytest.mark.parametrize("budget", [0, 10, 60, 200, 600, 2_000, 10_000])
def test_the_lines_fit_the_budget(catalogue: Catalogue, budget: int) -> None:
    tables = choose_tables(catalogue, "sign-ins and inbox rules", ["Account", "Ip"], [], 12)
    text = columns_within(tables, estimate, budget)
    assert estimate(text) <= budget or text == ""
    lines = text.splitlines()
    assert [line.split("(")[0] for line in lines if line] == [
        each.name for each in tables if any(line.startswith(f"{each.name}(") for line in lines)
    ]
    if budget == 10_000:
        assert len(lines) == 12
    if budget >= 200:
        assert lines[0].startswith(f"{tables[0].name}(")


def test_where_room_is_short_the_telling_columns_stay() -> None:
    wide = table("Wide", *(f"Filler{n}" for n in range(200)), "UserPrincipalName", "IPAddress")
    line = columns_within([wide], estimate, 120)
    assert line.startswith(
        "Wide(TimeGenerated:datetime, UserPrincipalName:string, IPAddress:string, Filler0:string"
    )
    assert "Filler50" not in line


# --- misspelt names ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("SignInLogs", "SigninLogs"),
        ("SigninLog", "SigninLogs"),
        ("AuditLog", "AuditLogs"),
        ("DeviceProcesEvents", "DeviceProcessEvents"),
        ("deviceprocessevents", "DeviceProcessEvents"),
        ("SecurityEvents", "SecurityEvent"),
    ],
)
def test_the_nearest_name_is_the_one_that_was_meant(name: str, first: str) -> None:
    assert nearest(name, SMALL.by_name)[0] == first


@pytest.mark.parametrize("name", ["", "Qzx", "看"])
def test_what_is_near_to_nothing_has_no_nearest(name: str) -> None:
    assert nearest(name, SMALL.by_name) == ()
    assert len(nearest("SigninLogs", SMALL.by_name, 2)) <= 2
