"""One incident of the sandbox kind, and what was proposed, written and said about it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from bot.cards import Card
from bot.cards._parts import card, fitted, notices
from bot.cards.playbook import playbook_blocks
from bot.domain.incident import Alert, CaseFile, Comment, Entity, Incident, IncidentRef, Task
from bot.domain.injection import warned
from bot.domain.proposal import Item, Proposal, Provenance, Write
from bot.domain.query import Column, Rows, WrittenQuery
from bot.domain.transcript import Turn

NOW = datetime(2026, 11, 24, 10, 2, tzinfo=UTC)
WARNING = "The alert's description contains text addressed to an assistant."
PLAYBOOK = "The model is unavailable: this answer comes from the playbook."

REF = IncidentRef("soc-emea", "73e01a99-5cd7-4139-a149-9f2736ff2ab5")
INCIDENT = Incident(
    ref=REF,
    number=3177,
    title="Sign-in from an anonymous address, then a new inbox rule (finance)",
    severity="High",
    status="Active",
    owner="Dana Okafor",
    tactics=("InitialAccess", "CommandAndControl"),
    techniques=("T1078.004", "T1564.008"),
    labels=("finance", "vip_user"),
    products=("Azure Sentinel", "Microsoft 365 Defender"),
    alerts_count=3,
    comments_count=2,
    created=datetime(2026, 11, 24, 9, 2, tzinfo=UTC),
    first_activity=datetime(2026, 11, 24, 7, 41, tzinfo=UTC),
    last_activity=datetime(2026, 11, 24, 8, 55, tzinfo=UTC),
    url="https://portal.azure.com/#asset/Microsoft_Azure_Security_Insights/Incident/73e01a99",
)
BARE = Incident(ref=IncidentRef("soc-emea", "b1"), number=7, title="", severity="", status="New")
CASE = CaseFile(
    INCIDENT,
    alerts=(Alert("a1", "Anonymous sign-in"),),
    entities=(
        Entity("e1", "Account", "li.wei@contoso.example"),
        Entity("e2", "Ip", "203.0.113.7"),
        Entity("e3", "Host", "FIN-LAPTOP-042"),
    ),
    comments=(Comment("c1", "<p>seen</p>"),),
    tasks=(Task("t1", "Call the user", status="Completed"), Task("t2", "Reset the password")),
)


def incident(number: int, severity: str, **changes: object) -> Incident:
    ref = IncidentRef("soc-emea", f"00000000-0000-4000-8000-{number:012d}")
    values = {
        "title": f"Suspicious PowerShell on SRV-{number:04d} after a rare parent process",
        "status": "New",
        "created": NOW - timedelta(hours=number % 60),
        **changes,
    }
    return Incident(ref=ref, number=number, severity=severity, **values)  # type: ignore[arg-type]


LIST = (
    INCIDENT,
    incident(3175, "Medium", owner="alexandra.konstantinopoulou@contoso.example"),
    incident(3171, "Low", status="Closed", classification="BenignPositive", owner="Sam"),
    incident(3102, "Informational"),
    incident(2999, "Catastrophic", created=NOW - timedelta(days=12)),
)

TASKS = (
    Item(
        "Confirm the sign-in with the user",
        "Call **Li Wei** on a known number. Ask about:\n\n- the sign-in at 07:41 UTC\n"
        "- the inbox rule *Archive*",
    ),
    Item(
        "Look for other sign-ins from 203.0.113.7",
        "Search SigninLogs of the last 7 days for the address and note every other account.",
    ),
    Item("Review inbox rules", "List the rules created today in the mailbox and remove `Archive`."),
    Item("Revoke sessions", "Revoke the account's refresh tokens, then reset the password."),
)


def proposal(*items: Item, kind: str = "tasks", id: str = "p_5fUqz0wYy3T9kq1s") -> Proposal:
    return Proposal(
        id=id,
        kind=kind,  # type: ignore[arg-type]
        tenant="t",
        conversation="c",
        incident=REF,
        incident_number=3177,
        items=items,
        provenance=Provenance(
            asked_by="Dana Okafor",
            question="What happened?",
            model="gpt-5.4-mini",
            prompt="ask 4f1c2a9e",
            evidence=("e1", "e2", "e3", "e4"),
        ),
        created=NOW,
    )


ANSWER = proposal(Item("What happened", "The account signed in from Tor."), kind="answer")
BY_PLAYBOOK = replace(
    ANSWER, provenance=replace(ANSWER.provenance, model="", prompt="playbook 9b0e77d1")
)
PROPOSED = proposal(*TASKS)


RECORD = (
    "Active, severity High, owner Dana Okafor, 1 of 2 tasks open.",
    "Open: Reset the password.",
    "Asked: Dana Okafor 3 questions, Sam *Star* 1 question.",
    "2026-11-24 09:58 UTC: Dana Okafor added a task, 4 times.",
)


def write(kind: str, index: int, *, done: bool = True, by: str = "Dana Okafor") -> Write:
    return Write("p", kind, index, "u1", by, NOW, done)  # type: ignore[arg-type]


def turn(number: int, **changes: str) -> Turn:
    values = {
        "question": f"Question {number}: which accounts signed in from 203.0.113.7?",
        "answer": "Two did:\n\n- **li.wei** at 07:41 UTC\n- **svc-backup** at 08:03 UTC, twice",
        **changes,
    }
    return Turn(id=f"t{number}", asked=NOW - timedelta(minutes=60 - number), tokens=50, **values)


TURNS = tuple(turn(number) for number in range(1, 4))


KQL = """\
let accounts = dynamic(["li.wei@contoso.example"]);
SigninLogs
| where TimeGenerated > ago(7d)
| where UserPrincipalName in~ (accounts)
    or IPAddress == "203.0.113.7"
| project TimeGenerated, UserPrincipalName, IPAddress, ResultType, ConditionalAccessStatus
| order by TimeGenerated desc"""
CHECKED = WrittenQuery(
    kql=KQL,
    explanation="Sign-ins of the account, and of anyone from the anonymous address, in 7 days.",
    assumptions=("The address did not change within the week.",),
    tables=61,
    cautions=("The query reads all columns of a large table.",),
)
UNCHECKED = replace(CHECKED, tables=None)
FLAGGED = replace(
    CHECKED,
    kql=KQL.replace("UserPrincipalName", "UserName"),
    problems=(
        "SigninLogs has no column UserName. Did you mean UserDisplayName or UserPrincipalName?",
        "The second of these is here to show that each has its line.",
    ),
)
REFUSED = WrittenQuery(
    kql='externaldata(line: string) ["https://evil.example/list.csv"]\n| take 10',
    explanation="Reads the list that the alert names.",
    tables=61,
    problems=("externaldata reads files from a web address, which is outside this workspace.",),
    refused=True,
)
LINK = "https://portal.azure.com/#@t/blade/Logs/q/H4sIAAAA"


def asked(query: WrittenQuery, **changes: object) -> Proposal:
    proposed = proposal(Item("KQL to run", query.kql), kind="query")
    source = replace(proposed.provenance, question="Who else?", prompt="kql 77ab01c3")
    values = {"query": query, "provenance": source, **changes}
    return replace(proposed, **values)  # type: ignore[arg-type]


SIGN_INS = tuple(
    Column(name, type)
    for name, type in (
        ("TenantId", "guid"),
        ("TimeGenerated", "datetime"),
        ("CorrelationId", "string"),
        ("UserPrincipalName", "string"),
        ("IPAddress", "string"),
        ("ResultType", "string"),
        ("AppDisplayName", "string"),
        ("LocationDetails", "dynamic"),
        ("RiskDetail", "string"),
        ("Type", "string"),
    )
)


def sign_in(number: int) -> tuple[object, ...]:
    user = ("li.wei", "svc-backup", "alexandra.konstantinopoulou")[number % 3]
    return (
        "5b1f0c3e-0000-4000-8000-000000000001",
        NOW - timedelta(minutes=61 + 7 * number, seconds=number),
        f"c0ffee00-0000-4000-8000-{number:012d}",
        f"{user}@contoso.example",
        f"203.0.113.{7 + number % 2}",
        "0" if number % 4 else "50126",
        "Office 365 Exchange Online",
        {"city": "Frankfurt", "countryOrRegion": "DE"},
        "",
        "SigninLogs",
    )


ROWS = Rows(SIGN_INS, tuple(map(sign_in, range(37))), timespan=timedelta(days=7))
PARTIAL = replace(
    ROWS,
    rows=ROWS.rows[:3],
    partial="The result is not complete: the query used more memory than it may.",
)
CAPPED = replace(ROWS, rows=tuple(map(sign_in, range(100))), capped=True)
ONE_ROW = replace(ROWS, rows=ROWS.rows[:1])
NO_ROWS = replace(ROWS, rows=(), timespan=timedelta(days=1))
COUNTS = Rows(
    (Column("IPAddress", "string"), Column("Count", "long"), Column("SentBytes", "real")),
    (("203.0.113.7", 12345, 1048576.5), ("198.51.100.20", 3, 0.0)),
    timespan=timedelta(hours=36),
)


def prepared(query: WrittenQuery | None = CHECKED, **changes: object) -> Proposal:
    """What was prepared for the incident before anybody asked."""
    tactics = "**Initial Access** (TA0001): The account signed in from an anonymous address [2]."
    comment = Item("Tactics of incident 3177", tactics, "comment")
    last = [Item("KQL to run", query.kql)] if query else []
    made = proposal(comment, *TASKS[:3], *last, kind="playbook", id=f"playbook-{REF.id}")
    source = replace(made.provenance, asked_by="", question="")
    message = {"warnings": [], "notes": []}
    values = {"query": query, "provenance": source, "message": message, **changes}
    return replace(made, **values)  # type: ignore[arg-type]


def playbook_card(proposal: Proposal, writes: Sequence[Write] = ()) -> Card:
    """A playbook's blocks on a card of their own; in the chat they stand on the incident's."""
    warnings = warned(tuple(proposal.message["warnings"]))

    def build(share: int) -> Card:
        blocks = playbook_blocks(proposal, writes, share)
        return card([*notices(warnings, "", share), *blocks])

    return fitted(build)
