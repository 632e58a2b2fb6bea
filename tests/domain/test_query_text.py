"""Literals hold what they are given, entities are bound as data, and rows are capped."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.incident import Entity
from bot.domain.query_guard import guard
from bot.domain.query_lexer import lex, unquoted
from bot.domain.query_text import (
    MAX_LIST_CHARS,
    MAX_VALUES,
    entity_lets,
    entity_names,
    from_answer,
    literal,
    with_row_cap,
)

AWKWARD = st.text() | st.text("\"'\\@hH`~/\n\r\t\0\u2028\u202e\u200b;|()[]{} ax😀\U000e0041")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("", '""'),
        ("plain", '"plain"'),
        ("contoso\\jo", r'"contoso\\jo"'),
        ('say "so"', r'"say \"so\""'),
        ("it's", '"it\'s"'),
        ("two\nlines", r'"two\nlines"'),
        ("Zoë 日本語 😀", '"Zoë 日本語 😀"'),
        ("a\u202eb\u200bc\0", r'"a\u202eb\u200bc\u0000"'),
        ("\U000e0041", r'"\udb40\udc41"'),
        ("x" + chr(0xD800), r'"x\ud800"'),
    ],
)
def test_a_literal(value, written):
    assert literal(value) == written


@given(AWKWARD)
def test_a_literal_is_one_string_that_stands_for_its_value(value):
    text = literal(value)

    (token,) = lex(text)
    assert (token.kind, token.text) == ("string", text)
    assert json.loads(text) == value
    if value.isascii():
        assert unquoted(text) == value


@given(AWKWARD, AWKWARD)
def test_nothing_gets_out_of_a_literal(first, second):
    query = f"print a = {literal(first)}, b = dynamic([{literal(second)}])"

    assert [token.kind for token in lex(query)] == [
        "name", "name", "operator", "string", "operator",
        "name", "operator", "name", "operator", "operator", "string", "operator", "operator",
    ]  # fmt: skip
    assert guard(query).refused == ()


def entity(kind: str, **facts: str) -> Entity:
    return Entity(id="e", kind=kind, name="n", facts=facts)


JO = entity("Account", accountName="jo", upnSuffix="contoso.com", ntDomain="CONTOSO", sid="S-1-5")
WS = entity("Host", hostName="ws-1", dnsDomain="contoso.com")
IP = entity("Ip", address="192.0.2.7")


def test_the_names_that_an_incident_has_values_for():
    others = [
        entity("Mailbox", mailboxPrimaryAddress="sam@contoso.com"),
        entity("FileHash", hashValue="ab12", algorithm="SHA256"),
        entity("File", fileName="a.exe"),
        entity("Url", url="http://bad.example/"),
        entity("DnsResolution", domainName="bad.example"),
        entity("CloudApplication", appName="Office 365"),
    ]

    assert entity_names([]) == ()
    assert entity_names([IP, entity("Host", azureID="x")]) == ("addresses",)
    assert entity_names([JO, WS, IP, *others]) == (
        "accounts", "account_ids", "hosts", "addresses", "hashes", "files", "urls", "domains",
    )  # fmt: skip


def test_only_the_names_that_a_query_uses_are_bound():
    query = "SigninLogs | where UserPrincipalName in~ (accounts) // hosts, 'urls'"

    assert entity_lets([JO, WS, IP], query) == (
        r'let accounts = dynamic(["jo@contoso.com", "CONTOSO\\jo", "jo"]);' "\n"
    )
    assert entity_lets([JO, WS, IP], "SigninLogs") == ""
    assert entity_lets([WS], query) == ""


def test_several_names_come_in_a_fixed_order_and_no_value_twice():
    assert entity_lets([IP, IP, WS], "T | where a in (addresses) or h in (hosts)") == (
        'let hosts = dynamic(["ws-1.contoso.com", "ws-1"]);\n'
        'let addresses = dynamic(["192.0.2.7"]);\n'
    )


def test_a_name_that_the_query_defines_itself_is_left_to_it():
    assert (
        entity_lets([IP], "let addresses = dynamic(['192.0.2.1']); T | where a in (addresses)")
        == ""
    )


def test_many_values_are_cut_and_it_is_said():
    many = [entity("Ip", address=f"192.0.2.{n}") for n in range(MAX_VALUES + 5)]

    lets = entity_lets(many, "T | where a in (addresses)")

    assert lets.endswith('"192.0.2.29"]); // 5 more left out\n')


def test_long_values_are_left_out_not_cut():
    urls = [entity("Url", url="http://x.example/" + "a" * length) for length in (500, 300, 10)]
    escaped = entity("Url", url="\u202e" * 300)

    lets = entity_lets([*urls, escaped], "T | where u in (urls)")

    assert "a" * 301 not in lets
    assert ("a" * 300 in lets) and ('/aaaaaaaaaa"' in lets)
    assert lets.endswith("); // 1 more left out\n")
    assert len(lets) < MAX_LIST_CHARS + 60


@given(AWKWARD.filter(bool))
def test_no_value_gets_out_of_its_list(value):
    query = "T | where TimeGenerated > ago(1d) and u in (urls)"

    lets = entity_lets([entity("Url", url=value)], query)

    assert [token.kind for token in lex(lets) if token.kind != "comment"] in (
        ["name", "name", "operator", "name", "operator", "operator", *("string",) * n, "operator",
         "operator", "operator"] for n in (0, 1)
    )  # fmt: skip
    assert guard(lets + query).refused == ()


CAPPED = [
    ("T", "T\n| take 50"),
    ("T | where x", "T | where x\n| take 50"),
    ("T;", "T\n| take 50;"),
    ("T; // done", "T\n| take 50; // done"),
    ("T // | take 5", "T\n| take 50 // | take 5"),
    ("T\n// note\n", "T\n| take 50\n// note\n"),
    ("let a = 1; T | where x == a", "let a = 1; T | where x == a\n| take 50"),
    ("let f = () { T | take 1; }; f()", "let f = () { T | take 1; }; f()\n| take 50"),
    ("T | render timechart", "T | take 50\n| render timechart"),
    (
        "T | summarize count() by x\n| render barchart with (title='|')",
        "T | summarize count() by x\n| take 50\n| render barchart with (title='|')",
    ),
    ("union (T | render x), U", "union (T | render x), U\n| take 50"),
    ("print x = '; | render'", "print x = '; | render'\n| take 50"),
    ("T | take 5", "T | take 5\n| take 50"),
    ("T; U", "T\n| take 50; U\n| take 50"),
    ("(T | where x)", "(T | where x)\n| take 50"),
    # left as they are
    ("", ""),
    ("// nothing", "// nothing"),
    ("let a = 1;", "let a = 1;"),
    ("T | fork (take 1) (count)", "T | fork (take 1) (count)"),
    ("T | facet by x", "T | facet by x"),
    ("T | where x == 'open", "T | where x == 'open"),
]


@pytest.mark.parametrize(("query", "capped"), CAPPED)
def test_the_row_cap(query, capped):
    assert with_row_cap(query, 50) == capped


@given(st.lists(st.sampled_from(
    ["T", "| where x == 'a;b'", ";", "\n", "// c\n", "let a = 1;", "| render pie", "{",
     "}", "(", ")", "datetime(", "#x\n"]
)).map(" ".join))  # fmt: skip
def test_the_cap_never_makes_a_good_query_a_refused_one(query):
    before = guard(query).refused

    assert guard(with_row_cap(query, 50)).refused == before


QUERY = "SigninLogs\n| where TimeGenerated > ago(1d)\n| take 5"


@pytest.mark.parametrize(
    "answer",
    [
        QUERY,
        f"\n  {QUERY}  \n",
        f"\ufeff{QUERY}",
        f"```kql\n{QUERY}\n```",
        f"```KQL\r\n{QUERY}\n```\r\n",
        f"```kusto\n{QUERY}\n```",
        f"```\n{QUERY}\n```",
        f"~~~kql\n{QUERY}\n~~~",
        f"````kql\n{QUERY}\n````",
        f"Here it is:\n\n```kql\n{QUERY}\n```\n\nIt finds sign-ins.",
        f"First a result:\n```json\n{{}}\n```\nand now\n```kql\n{QUERY}\n```",
        f"```kql\n{QUERY}\n```\nor else\n```kql\nSigninLogs\n```",
        f"  ```kql\n{QUERY}\n  ```",
        f"```kql\n{QUERY}",
    ],
)
def test_the_query_is_taken_out_of_an_answer(answer):
    assert from_answer(answer) == QUERY


@pytest.mark.parametrize(
    ("answer", "query"),
    [
        ("`SigninLogs`", "SigninLogs"),
        ("```kql SigninLogs```", "SigninLogs"),
        ("print x = ```a```", "print x = ```a```"),
        ("", ""),
    ],
)
def test_short_answers(answer, query):
    assert from_answer(answer) == query
