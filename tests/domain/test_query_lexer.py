"""What the lexer takes the pieces of a query for."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.query_lexer import lex, returns_rows, statements, unquoted


def pieces(query: str) -> list[tuple[str, str]]:
    return [(token.kind, token.text) for token in lex(query)]


def of_kind(kind: str, query: str) -> list[str]:
    return [token.text for token in lex(query) if token.kind == kind]


STRINGS = [
    '"plain"',
    "'plain'",
    '""',
    '"a // no comment"',
    '"it\'s"',
    "'say \"so\"'",
    r'"escaped \" quote"',
    r"'escaped \' quote'",
    r'"C:\\Windows\\System32"',
    r'"tab \t, code \u00e9 \U0001F600 \x41 \101"',
    r'@"C:\Windows\"',
    '@"doubled "" quote"',
    "@'doubled '' quote'",
    'h"hidden"',
    "H'hidden'",
    'h@"hidden\\"',
    "```\nseveral\nlines with \" and ' and // and ~~~\n```",
    "~~~several\nlines with ``` in it~~~",
    "h```hidden\nlines```",
    '"\u2028 stays inside"',
    '"; | ) ] }"',
    '"äöü 日本語 😀"',
]


@pytest.mark.parametrize("text", STRINGS)
def test_a_string_is_one_token(text):
    assert pieces(text) == [("string", text)]
    assert of_kind("string", f"T | where x == {text} and y") == [text]


@pytest.mark.parametrize(
    "text",
    ['"open', "'open", '@"open', "@'open''", 'h"open', "```open", "~~~open``", '"ends\nhere"',
     r'"\d+"', r'"C:\Windows"', '"\\', "'\\u12'"],
)  # fmt: skip
def test_what_is_not_a_closed_string_is_unknown_to_the_end(text):
    *before, last = lex(f"T | where x == {text} | cluster(1)\n| take 1")

    assert (last.kind, last.text) == ("unknown", f"{text} | cluster(1)\n| take 1")
    assert all(token.kind != "unknown" for token in before)


@pytest.mark.parametrize(
    "text",
    ["1", "42", "0x1F", "1.5", "1.", "1e5", "1.5E-3", "1d", "2.5h", "10m", "30s", "100ms", "5min",
     "7days", "1tick", "10microseconds", "3nanoseconds", "250millis",
     "datetime(2024-01-31T12:00:00.000Z)", "datetime(2024-01-31 12:00:00+02:00)",
     'datetime("2024-01-31")', "datetime('2024-01-31')", "datetime(1/31/2024)", "datetime(null)",
     "time(1.02:03:04)", "timespan(1d)", "guid(74be27de-1e4e-49d9-b579-fe0b331d3642)", "int(-1)",
     "long(null)", "real(1.5)", "decimal(0.1)", "bool(true)",
     "74be27de-1e4e-49d9-b579-fe0b331d3642"],
)  # fmt: skip
def test_a_number_or_typed_literal_is_one_token(text):
    assert pieces(text) == [("number", text)]


@pytest.mark.parametrize(
    "text",
    ['datetime(") | cluster("a")', "datetime(now())", "int(toint(x))", 'bool(x == "a")',
     "datetime(2024-01-31 // )\n)", "DateTime(')')", "datetime\n(')')", "uuid('(')",
     "datetime(2024-01-31", "time('a' 'b')", 'guid("(")'],
)  # fmt: skip
def test_a_typed_literal_that_could_be_read_in_two_ways_is_unknown(text):
    assert pieces(f"print {text}") == [("name", "print"), ("unknown", text)]


@pytest.mark.parametrize(
    "text", ["x", "_x", "$left", "TimeGenerated", "x1", "3P_Logs", "1day2", "h", "toint"]
)  # fmt: skip
def test_a_name_is_one_token(text):
    assert pieces(text) == [("name", text)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("a.b", [("name", "a"), ("operator", "."), ("name", "b")]),
        ("1..5", [("number", "1"), ("operator", ".."), ("number", "5")]),
        ("a!~b", [("name", "a"), ("operator", "!~"), ("name", "b")]),
        ("x=~'y'", [("name", "x"), ("operator", "=~"), ("string", "'y'")]),
        ("['a b']", [("operator", "["), ("string", "'a b'"), ("operator", "]")]),
        ("a//b\nc", [("name", "a"), ("comment", "//b"), ("name", "c")]),
        ("a // it's\r\nc", [("name", "a"), ("comment", "// it's"), ("name", "c")]),
        ("//a\u2028b", [("comment", "//a"), ("name", "b")]),
        ("#crp x=1\nT", [("directive", "#crp x=1"), ("name", "T")]),
        (".show tables", [("operator", "."), ("name", "show"), ("name", "tables")]),
        ("a ^ b", [("name", "a"), ("unknown", "^"), ("name", "b")]),
        ("cluster\u00e9", [("name", "cluster"), ("unknown", "\u00e9")]),
        ("in~~~'~~~", [("name", "in~"), ("operator", "~"), ("operator", "~"), ("unknown", "'~~~")]),
        ("!in~ ('x')", [("name", "!in~"), ("operator", "("), ("string", "'x'"), ("operator", ")")]),
        ("Date (1)", [("name", "Date"), ("operator", "("), ("number", "1"), ("operator", ")")]),
        ("oh'x'", [("name", "oh"), ("string", "'x'")]),
    ],
)
def test_pieces(query, expected):
    assert pieces(query) == expected


@given(st.text() | st.text("ab1.\"'@hH`~\\/\n\r()[]{};|#_$ ", max_size=60))
def test_any_text_is_lexed_and_nothing_but_white_space_is_left_out(query):
    end, rebuilt = 0, ""
    for token in lex(query):
        between = query[end : token.start]
        assert between == "" or between.isspace()
        assert query.startswith(token.text, token.start)
        rebuilt += between + token.text
        end = token.start + len(token.text)

    assert query[end:] == "" or query[end:].isspace()
    assert rebuilt + query[end:] == query


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ('"a"', "a"),
        (r'"a\"b\\c\n\t"', 'a"b\\c\n\t'),
        (r'"work\u0073pace"', "workspace"),
        (r'"\x63\154\U00000075ster"', "cluster"),
        (r'"\UFFFFFFFF"', "\U0010ffff"),
        (r'@"a\b"', "a\\b"),
        ('@"a""b"', 'a"b'),
        ("h'a'", "a"),
        ("```a\nb```", "a\nb"),
        ("name", "name"),
        ("H", "H"),
    ],
)
def test_what_a_string_stands_for(text, meant):
    assert unquoted(text) == meant


def texts(parts: Sequence) -> list[str]:
    return [" ".join(token.text for token in part) for part in parts]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("T", ["T"]),
        ("let a = 1; T", ["let a = 1", "T"]),
        ("let f = () { let a = 1; T }; f ( )", ["let f = ( ) { let a = 1 ; T }", "f ( )"]),
        ("T // one; two", ["T"]),
        ("T ; // end", ["T", ""]),
        ("print ';'", ["print ';'"]),
        (") ; T", [")", "T"]),
    ],
)
def test_statements(query, expected):
    assert texts(statements(lex(query))) == expected


@pytest.mark.parametrize("query", ["T | take 1", "print 1", "union A, B", "(T)", "f()"])
def test_what_returns_rows(query):
    assert returns_rows(lex(query))


@pytest.mark.parametrize("query", ["", "let a = 1", "declare query_parameters(x:int)", "SET x"])
def test_what_only_prepares(query):
    assert not returns_rows(lex(query))
