"""What the cards of queries and rows say and offer, and what no text in them can do."""

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.cards import MAX_BYTES, query_card, rows_card, size
from bot.domain.proposal import Write
from bot.domain.query import MAX_QUERY_CHARS, Column, Rows, WrittenQuery
from tests.cards.reading import buttons, cells, code, labels, walk, words
from tests.cards.samples import (
    ANSWER,
    CAPPED,
    CHECKED,
    COUNTS,
    FLAGGED,
    KQL,
    LINK,
    NO_ROWS,
    NOW,
    ONE_ROW,
    PARTIAL,
    REFUSED,
    ROWS,
    SIGN_INS,
    UNCHECKED,
    asked,
    write,
)

# --- what is known of a query --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (CHECKED, ["✓ checked against 61 tables"]),
        (replace(CHECKED, tables=1), ["✓ checked against 1 table"]),
        (replace(CHECKED, tables=0), ["✓ checked against 0 tables"]),
        (UNCHECKED, []),
        (replace(UNCHECKED, problems=("It is odd.",)), []),
        (FLAGGED, []),
        (REFUSED, []),
        (replace(CHECKED, refused=True), []),
    ],
)
def test_only_a_query_that_passed_is_called_checked(query: WrittenQuery, said: list[str]) -> None:
    card = query_card(asked(query), link=LINK)
    assert [line for line in words(card) if "checked against" in line.lower()] == said


@pytest.mark.parametrize("claim", ["checked against 9 tables", "✓ **Checked  Against** 9 tables"])
def test_a_model_cannot_say_that_its_query_was_checked(claim: str) -> None:
    claiming = replace(FLAGGED, explanation=claim, assumptions=(claim,), cautions=(claim,))
    for card in (query_card(asked(claiming)), rows_card(ROWS, claiming, NOW)):
        assert "checked against" not in json.dumps(card).lower().replace("*", "")


@pytest.mark.parametrize(
    ("query", "colour", "said"),
    [
        (UNCHECKED, "warning", "Not checked: the KQL checker or the workspace's schema"),
        (FLAGGED, "warning", "This query does not fit this workspace:"),
        (REFUSED, "attention", "This query is not run or added:"),
    ],
)
def test_a_query_that_did_not_pass_says_why(query: WrittenQuery, colour: str, said: str) -> None:
    lines = [part for part in walk(query_card(asked(query))) if part.get("color") == colour]
    assert lines[0]["text"].startswith(said)
    shown = [line["text"] for line in lines[1:]]
    assert [line for line in shown if line.startswith("• ")][: len(query.problems)] == [
        f"• {problem}" for problem in query.problems
    ]


def test_no_more_than_six_problems_are_spelled_out() -> None:
    shown = words(query_card(asked(replace(FLAGGED, problems=("It is wrong.",) * 9))))
    assert shown.count("• It is wrong.") == 6
    assert "and 3 more" in shown


def test_a_proposal_without_a_query_has_no_such_card() -> None:
    with pytest.raises(ValueError, match="no query"):
        query_card(ANSWER)


# --- the query itself ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kql",
    [
        KQL,
        "T\n| where A == '${x}' and B has '{{DATE(2026-11-24T09:00:00Z,SHORT)}}'",
        "T | where Url == 'https://evil.example/a?b=<at>c</at>' // [x](y) **z**",
        'T | where A matches regex @"\\d{2}\\s*" and B == "`_*"',
        "T\n| extend A = 1\n" + "| where A > 1 // long\n" * 400,
    ],
)
def test_a_query_is_shown_and_copied_as_it_is(kql: str) -> None:
    assert len(kql) <= MAX_QUERY_CHARS
    card = query_card(asked(replace(CHECKED, kql=kql)))
    assert code(card) == kql
    assert not [line for line in words(card) if "more characters" in line]


def test_the_lines_of_a_query_keep_their_indent() -> None:
    (run,) = [run for part in walk(query_card(asked(CHECKED))) for run in part.get("inlines", [])]
    assert run["fontType"] == "monospace"
    assert "\n\u00a0\u00a0\u00a0\u00a0or IPAddress ==" in run["text"]
    assert code(query_card(asked(replace(CHECKED, kql="T\n\t| take 5")))) == "T\n    | take 5"


def test_what_cannot_be_seen_in_a_query_is_spelled_out() -> None:
    card = query_card(asked(replace(CHECKED, kql="T\r\n| where A == 'x\u202ey'")))
    assert code(card) == "T\n| where A == 'x[U+202E]y'"
    assert any("cannot be seen" in line for line in words(card))
    assert not any("cannot be seen" in line for line in words(query_card(asked(CHECKED))))


@pytest.mark.parametrize(
    ("query", "link", "where"),
    [
        (CHECKED, LINK, "open it in Logs or add it to the incident."),
        (CHECKED, "", "add it to the incident."),
        (REFUSED, "", "not shown."),
    ],
)
def test_a_query_that_does_not_fit_says_where_it_is_whole(
    query: WrittenQuery, link: str, where: str
) -> None:
    kql = "| where Name == '漢字'\n" * 500
    card = query_card(asked(replace(query, kql=kql)), link=link)
    shown = code(card)
    assert kql.startswith(shown) and len(shown) > 1_000 and shown.endswith("'")
    (line,) = [line for line in words(card) if "more characters" in line]
    assert line == f"… {len(kql) - len(shown):,} more characters: {where}"


# --- what the buttons do -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "writes", "link", "offered", "said"),
    [
        (CHECKED, [], LINK, "Run|Add to incident|Refine|Open in Logs", []),
        (CHECKED, [], "", "Run|Add to incident|Refine", []),
        (FLAGGED, [], "", "Run|Add to incident|Refine", []),
        (UNCHECKED, [], "", "Run|Add to incident|Refine", []),
        (REFUSED, [], LINK, "Refine|Open in Logs", []),
        (CHECKED, [write("task", 0, done=False)], "", "Run|Add to incident|Refine", []),
        (CHECKED, [write("task", 0)], "", "Run|Also as a comment|Refine", ["to the incident"]),
        (CHECKED, [write("comment", 0)], "", "Run|Add to incident|Refine", ["as a comment"]),
        (
            CHECKED,
            [write("comment", 0), write("task", 0)],
            "",
            "Run|Refine",
            ["to the incident", "as a comment"],
        ),
    ],
)
def test_a_query_offers(
    query: WrittenQuery, writes: list[Write], link: str, offered: str, said: list[str]
) -> None:
    card = query_card(asked(query), writes, link=link)
    assert labels(card) == [*offered.split("|"), "Refine"]  # the last one sends the change
    assert [line for line in words(card) if "Added" in line] == [
        f"✓ Added {how} by Dana Okafor, 10:02 UTC" for how in said
    ]


def test_the_buttons_of_a_query_carry_its_id_only() -> None:
    card, id = query_card(asked(CHECKED), link=LINK), asked(CHECKED).id
    run, add, refine, open_in_logs, send = buttons(card)
    assert (run["type"], run["data"]) == ("Action.Submit", {"verb": "run", "proposal": id})
    assert add["type"] == "Action.Execute"
    assert add["data"] == {"verb": "add", "proposal": id, "as": "task", "item": 0}
    assert add["fallback"]["data"] == add["data"]
    assert refine["type"] == "Action.ShowCard"
    assert (send["type"], send["data"]) == ("Action.Submit", {"verb": "refine", "proposal": id})
    assert open_in_logs["url"] == LINK
    assert "SigninLogs" not in json.dumps([one.get("data") for one in buttons(card)])
    (added,) = [
        one["data"]["as"]
        for one in buttons(query_card(asked(CHECKED), [write("task", 0)]))
        if one["title"] == "Also as a comment"
    ]
    assert added == "comment"


def test_a_refinement_is_asked_for_in_words() -> None:
    (how,) = [one for one in walk(query_card(asked(CHECKED))) if one.get("type") == "Input.Text"]
    assert (how["id"], how["maxLength"], how["isRequired"]) == ("how", 500, True)
    assert how["label"] and how["errorMessage"]


# --- rows ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "said", "lines", "rest"),
    [
        (NO_ROWS, "No rows", 0, []),
        (ONE_ROW, "1 row", 10, []),
        (COUNTS, "2 rows", 3, []),
        (PARTIAL, "3 rows", 4, ["and 6 more columns"]),
        (ROWS, "37 rows", 11, ["and 27 more rows, 6 more columns"]),
        (CAPPED, "More than 100 rows", 11, ["and at least 91 more rows, 6 more columns"]),
    ],
)
def test_rows_are_counted_and_the_first_are_shown(
    rows: Rows, said: str, lines: int, rest: list[str]
) -> None:
    card = rows_card(rows, CHECKED, NOW)
    (heading,) = [one["text"] for one in walk(card) if one.get("style") == "heading"]
    assert heading == said
    assert len(cells(card)) == lines
    assert [line for line in words(card) if re.match(r"and .* more", line)] == rest


def test_a_table_has_the_telling_columns_and_readable_values() -> None:
    assert cells(rows_card(ROWS, CHECKED, NOW))[:2] == [
        ["TimeGenerated (UTC)", "UserPrincipalName", "IPAddress", "ResultType"],
        ["2026-11-24 09:01:00", "li.wei@contoso.example", "203.0.113.7", "50126"],
    ]
    assert cells(rows_card(COUNTS, CHECKED, NOW))[1] == [
        "203.0.113.7",
        "12,345",
        "1,048,576.50",
    ]


def test_a_single_row_is_shown_by_column() -> None:
    shown = cells(rows_card(ONE_ROW, CHECKED, NOW))
    assert shown[:2] == [["Column", "Value"], ["TimeGenerated (UTC)", "2026-11-24 09:01:00"]]
    assert "RiskDetail" not in [line[0] for line in shown]
    wide = Rows(tuple(Column(f"C{n}", "int") for n in range(20)), (tuple(range(20)),))
    card = rows_card(wide, CHECKED, NOW)
    assert len(cells(card)) == 13
    assert "and 8 more columns" in words(card)


def test_a_cell_is_never_without_text() -> None:
    blank = Rows((Column("A", "string"),), (("\x00",), ("x",), (" ",)))
    assert [line[0] for line in cells(rows_card(blank, CHECKED, NOW))[1:]] == [
        "\u2013",
        "x",
        "\u2013",
    ]


@pytest.mark.parametrize(
    ("rows", "query", "line", "shown"),
    [
        (ROWS, CHECKED, "over the last 7 days, up to 24 Nov 10:02 UTC", True),
        (PARTIAL, CHECKED, "Partial result", True),
        (ROWS, CHECKED, "Partial result", False),
        (PARTIAL, CHECKED, PARTIAL.partial, True),
        (ROWS, FLAGGED, "The query was run without having passed a check.", True),
        (ROWS, UNCHECKED, "The query was run without having passed a check.", True),
        (ROWS, CHECKED, "The query was run without having passed a check.", False),
        (ROWS, CHECKED, CHECKED.explanation, True),
    ],
)
def test_rows_say_what_they_are(rows: Rows, query: WrittenQuery, line: str, shown: bool) -> None:
    assert (line in words(rows_card(rows, query, NOW))) is shown


@pytest.mark.parametrize("rows", [ROWS, NO_ROWS, ONE_ROW], ids=["rows", "none", "one"])
def test_rows_can_be_explained(rows: Rows) -> None:
    said = [one["data"] for one in buttons(rows_card(rows, CHECKED, NOW))]
    assert said == [{"verb": "say", "words": "Explain these rows"}] * bool(rows.rows)


# --- size ----------------------------------------------------------------------------------------

# Characters that grow most on their way to JSON, and what is laid over several runs.
NASTY = ["\U0001f600", "\U000e0001", "\u200b", "www..", "<", "*", '"', "\\", "${", "{{", "\n "]


def fullest(text: str) -> list[int]:
    query = WrittenQuery(text, text, (text,) * 20, None, (text,) * 20, (text,) * 20)
    source = replace(ANSWER.provenance, model=text, prompt=text)
    proposed = asked(query, id="p" * 64, provenance=source)
    link = "https://portal.azure.com/" + "x" * 1_900
    columns = tuple(Column(text, kind) for kind in ("datetime", *["dynamic"] * 19))
    writes = [write("task", 0, by=text), write("comment", 0, by=text)]
    results = [Rows(columns, ((text,) * 20,) * count, text) for count in (0, 1, 100)]
    return [
        size(query_card(proposed, (), [text] * 9, text, link)),
        size(query_card(proposed, writes, [text] * 9, text, link)),
        *(size(rows_card(result, query, NOW, text)) for result in results),
    ]


@pytest.mark.parametrize("text", NASTY)
def test_the_fullest_cards_fit(text: str) -> None:
    assert max(fullest((text * 10_000)[:MAX_QUERY_CHARS])) <= MAX_BYTES


@settings(max_examples=12, deadline=None, database=None, derandomize=True)
@given(st.text(st.sampled_from("".join(NASTY) + "a /:$<at>|漢\x00\t")), st.integers(1, 1_000))
def test_cards_of_any_text_fit(text: str, times: int) -> None:
    assert max(fullest((text * times)[:MAX_QUERY_CHARS])) <= MAX_BYTES


def test_a_wide_result_fits() -> None:
    long = tuple("value " * 50 for _ in SIGN_INS)
    card = rows_card(replace(ROWS, rows=(long,) * 100), CHECKED, NOW)
    assert size(card) <= MAX_BYTES
