"""Which columns are shown, how values read, and what a model gets of a query's rows."""

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.query import Column, Rows
from bot.domain.rows import (
    MAX_VALUE_CHARS,
    NOTHING,
    as_lines,
    formatted,
    is_empty,
    left_out,
    telling_columns,
)

AT = datetime(2026, 11, 24, 9, 2, 11, tzinfo=UTC)


def rows(columns: str, *values: tuple[object, ...], **changes: object) -> Rows:
    """Rows whose columns are written as `Name` or `Name:type`."""
    pairs = [(*name.split(":"), "string")[:2] for name in columns.split()]
    return Rows(tuple(Column(*pair) for pair in pairs), values, **changes)  # type: ignore[arg-type]


def chosen(result: Rows, most: int = 4) -> list[str]:
    return [result.columns[index].name for index in telling_columns(result, most)]


# --- which columns -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "names"),
    [
        (rows("A B", ("1", "x"), ("2", "x")), "A B"),
        (rows("A When:datetime B", ("1", AT, "x"), ("2", AT, "x")), "When A B"),
        (rows("Type Count:long", ("SigninLogs", 5)), "Type Count"),
        (rows("A Empty B", ("1", "", "x"), ("2", None, "y")), "A B"),
        (rows("A B C D E", *[(n, n, n, n, n) for n in "12"]), "A B C D"),
        (rows("Same A B C D", *[("x", n, n, n, n) for n in "12"]), "A B C D"),
        (rows("Same A B C Empty", *[("x", n, n, n, "") for n in "12"]), "Same A B C"),
        (rows("TenantId A B C Type", *[("x", n, n, n, "T") for n in "12"]), "A B C"),
        (rows("TenantId A B C Type", *[("x", n, n, n, n) for n in "12"]), "A B C Type"),
        (rows("Bag:dynamic CorrelationId A B C D", *[(n,) * 6 for n in "12"]), "A B C D"),
        (rows("CorrelationId A B C Same", *[(n, n, n, n, "x") for n in "12"]), (
            "CorrelationId A B C"
        )),
        (rows("Rare A B C D", ("1",) * 5, *[("", n, n, n, n) for n in "23"]), "A B C D"),
        (rows("A B C D When:datetime", *[(n, n, n, n, AT) for n in "12"]), "When A B C"),
        (rows("TenantId A B C Type", ("x", "", "", "", "T")), "TenantId A B Type"),
        (rows("A B C D E"), "A B C D"),
        (rows(""), ""),
    ],
)  # fmt: skip
def test_the_columns_that_tell(result: Rows, names: str) -> None:
    assert chosen(result) == names.split()


def test_more_columns_are_shown_where_there_is_room() -> None:
    result = rows("A Same B C D E", *[(n, "x", n, n, n, n) for n in "12"])
    assert chosen(result, 12) == ["A", "Same", "B", "C", "D", "E"]


# --- how values read -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "column", "said"),
    [
        (None, "A:long", NOTHING),
        ("", "A", NOTHING),
        ("  ", "A", NOTHING),
        ([], "A:dynamic", NOTHING),
        (0, "Count:long", "0"),
        (False, "IsInteractive:bool", "false"),
        (True, "IsInteractive:bool", "true"),
        (AT, "TimeGenerated:datetime", "2026-11-24 09:02:11"),
        (AT.astimezone(timezone(timedelta(hours=9))), "At:datetime", "2026-11-24 09:02:11"),
        (12345, "Count:long", "12,345"),
        (12345, "count_:long", "12,345"),
        (12345, "FailedCount:long", "12,345"),
        (12345, "dcount_IPAddress:long", "12,345"),
        (1234567, "TotalBytesSent:long", "1,234,567"),
        (12345, "sum_SentBytes:long", "12,345"),
        (51234, "SourcePort:int", "51234"),
        (4625, "EventID:int", "4625"),
        (49000, "CountryCode:int", "49000"),
        (10010, "AccountNumber:int", "10010"),
        (1048576.5, "SentBytes:real", "1,048,576.50"),
        (1048576.5, "Score:real", "1048576.50"),
        (2.0, "Score:real", "2.00"),
        (0.00123, "Score:real", "0.0012"),
        (float("nan"), "Score:real", "nan"),
        (Decimal("1.50"), "Price:decimal", "1.50"),
        ("1.02:03:04", "Lasted:timespan", "1.02:03:04"),
        ({"city": "Köln", "n": [1, None]}, "Where:dynamic", '{"city":"Köln","n":[1,null]}'),
        ("li.wei", "User", "li.wei"),
    ],
)
def test_a_value_reads(value: object, column: str, said: str) -> None:
    assert formatted(value, Column(*(*column.split(":"), "string")[:2])) == said


def test_nought_is_a_value() -> None:
    assert [is_empty(value) for value in (None, "", " ", [], {}, 0, 0.0, False, "0")] == (
        [True] * 5 + [False] * 4
    )


# --- what a model gets ---------------------------------------------------------------------------


def test_a_row_is_a_line_of_json_as_it_is_in_the_log() -> None:
    result = rows(
        "At:datetime User Count:long Bag:dynamic Empty",
        (AT, "li.wei", 12345, {"a": 1}, ""),
        (AT + timedelta(microseconds=5), "svc\nbackup", None, ["x"], None),
    )
    assert [json.loads(line) for line in as_lines(result, 1_000).split("\n")] == [
        {"At": "2026-11-24T09:02:11Z", "User": "li.wei", "Count": 12345, "Bag": {"a": 1}},
        {"At": "2026-11-24T09:02:11.000005Z", "User": "svc\nbackup", "Bag": ["x"]},
    ]


def test_hidden_characters_are_spelled_out_for_a_model() -> None:
    assert as_lines(rows("A", ("safe\u202etxt.exe\u200b",)), 1_000) == (
        '{"A":"safe[U+202E]txt.exe[U+200B]"}'
    )


def test_what_does_not_fit_is_counted() -> None:
    many = [(f"user{number:03}",) for number in range(100)]
    whole, cut = rows("User", *many), as_lines(rows("User", *many), 200).split("\n")
    assert len(as_lines(whole, 10_000).split("\n")) == 100
    assert json.loads(cut[-1]) == {"more": f"{100 - (len(cut) - 1)} more rows"}
    assert len("\n".join(cut)) <= 200


@pytest.mark.parametrize(
    ("count", "capped", "shown", "said"),
    [
        (3, False, 3, ""),
        (3, False, 2, "1 more row"),
        (37, False, 10, "27 more rows"),
        (100, True, 10, "at least 91 more rows"),
        (100, True, 100, "at least 1 more row"),
    ],
)
def test_rows_beyond_those_shown(count: int, capped: bool, shown: int, said: str) -> None:
    assert left_out(rows("A", *[("x",)] * count, capped=capped), shown) == said


def test_a_partial_result_says_so_first() -> None:
    lines = as_lines(rows("A", ("x",), partial="It stopped.", capped=True), 500).split("\n")
    assert [json.loads(line) for line in lines] == [
        {"partial": "It stopped."},
        {"A": "x"},
        {"more": "at least 1 more row"},
    ]


def test_a_long_value_is_cut() -> None:
    text, bag = "x" * 5_000, {"a": "y" * 5_000}
    (line,) = as_lines(rows("A B:dynamic", (text, bag)), 5_000).split("\n")
    found = json.loads(line)
    assert [len(found[name]) for name in "AB"] == [MAX_VALUE_CHARS] * 2
    assert found["B"].startswith('{"a":"yyy')


CELL = st.none() | st.text() | st.integers() | st.floats() | st.datetimes().map(
    lambda at: at.replace(tzinfo=UTC)
)  # fmt: skip


@settings(deadline=None, database=None, derandomize=True)
@given(st.lists(st.tuples(CELL, CELL), max_size=30), st.integers(600, 2_000), st.booleans())
def test_any_rows_fit_their_limit(
    cells: list[tuple[object, ...]], limit: int, capped: bool
) -> None:
    result = rows("A B", *cells, capped=capped, partial="No.")
    lines = as_lines(result, limit)
    assert len(lines) <= limit
    assert all(isinstance(json.loads(line, strict=False), dict) for line in lines.split("\n"))
    assert telling_columns(result) or not cells or not result.columns
