"""Reads KQL as tokens, so that a decision about a query is never taken on its raw text.

It follows the lexer of Microsoft's language service (`Kusto.Language.Parsing.TokenParser`), and is
there for what must be decided where that service is not: the guard, the row cap, bound names.
Where the two could disagree, what is written becomes one `unknown` token that runs to the end of
the query, and the guard refuses it: nothing can hide in what is read in two ways.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from .query import Token

_HEX = "[0-9a-fA-F]"
# A backslash before anything else ends a string; the service calls the string unclosed.
_ESCAPE = rf"\\(?:[\\'\"abfnrtv]|u{_HEX}{{4}}|U{_HEX}{{8}}|x{_HEX}{{2}}|[0-7])"
_STRING = (
    "[hH]?(?:"
    + "|".join(
        (
            r"@?```(?s:.*?)```",
            r"@?~~~(?s:.*?)~~~",
            r'@"(?:[^"\r\n]|"")*+"',
            r"@'(?:[^'\r\n]|'')*+'",
            rf'"(?:[^"\\\r\n]|{_ESCAPE})*+"',
            rf"'(?:[^'\\\r\n]|{_ESCAPE})*+'",
        )
    )
    + ")"
)
# The service takes all from `datetime(` to the next `)` for one literal, quotes included. What
# passes for one here reads the same as ordinary tokens; what does not, even in another spelling
# that another lexer might take for one, is `unknown`.
_BARE = r"(?:[\w .:,+-]|/(?!/))*+"
_VALUE = rf"(?:{_BARE}|\"{_BARE}\"|'{_BARE}')\)"
_TYPED = r"(?:bool|date|datetime|decimal|double|guid|int|int32|int64|long|real|time|timespan)\("
_LIKE_TYPED = (
    r"(?i:bool(?:ean)?|date(?:time)?|decimal|double|float|u?int(?:8|16|32|64)?|u?long|real"
    r"|time(?:span)?|guid|uuid|uniqueid)\s*\("
)
_UNIT = (
    "d|days?|h|hrs?|hours?|m|min|minutes?|s|sec|seconds?|ms|milli(?:s|sec|seconds?)?"
    "|micro(?:s|sec|seconds?)?|nano(?:s|sec|seconds?)?|ticks?"
)
_NUMBER = (
    rf"(?:0[xX]{_HEX}+|[0-9]+\.(?!\.)[0-9]*(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+"
    rf"|[0-9]+(?:\.[0-9]+)?(?:{_UNIT})|[0-9]+)(?![A-Za-z0-9_])"
)
_KINDS = {
    "comment": r"//[^\r\n\u2028\u2029]*",
    "string": _STRING,
    "number": "|".join(
        (
            rf"{_TYPED}{_VALUE}",
            rf"{_HEX}{{8}}(?:-{_HEX}{{4}}){{3}}-{_HEX}{{12}}",
            _NUMBER,
        )
    ),
    "unknown": rf"(?:[hH]?@?(?:[\"']|```|~~~)|{_LIKE_TYPED}(?!{_VALUE}))(?s:.*)",
    "name": r"!?in~|[A-Za-z_$][A-Za-z0-9_]*|[0-9]+[A-Za-z_][A-Za-z0-9_]*",
    "directive": r"#[^\r\n]*",
    "operator": r"\.\.|<=|<\||<>|>=|==|=>|=~|!=|!~|[()\[\]{}|.+*/%<>=:;,@?!~-]",
}
_TOKEN = re.compile("|".join(f"(?P<{kind}>{form})" for kind, form in _KINDS.items()) + r"|\S")
_QUOTED = re.compile(r"[hH]?(@?)(```|~~~|[\"'])(.*)\2", re.DOTALL)
_ESCAPED = re.compile(rf"\\(u{_HEX}{{4}}|U{_HEX}{{8}}|x{_HEX}{{2}}|[0-7]{{1,3}}|.)")
_CONTROLS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_OPEN, _CLOSE = frozenset("([{"), frozenset(")]}")
_PREPARE = frozenset({"let", "set", "alias", "declare", "pattern", "restrict"})


def lex(query: str) -> tuple[Token, ...]:
    """Split a query into tokens; what lies between them is white space. Never raises.

    Names in brackets come as the service gives them: a bracket, a string, a bracket. A string that
    is not closed, and a typed literal that holds more than a value, are `unknown` to the end.
    """
    return tuple(
        Token(found.lastgroup or "unknown", found[0], found.start())
        for found in _TOKEN.finditer(query)
    )


def unquoted(text: str) -> str:
    """Give the text that a string token stands for; anything else as it is."""
    if not (found := _QUOTED.fullmatch(text)):
        return text
    verbatim, quote, body = found.groups()
    if len(quote) > 1:
        return body
    return body.replace(quote * 2, quote) if verbatim else _ESCAPED.sub(_meant, body)


def _meant(escape: re.Match[str]) -> str:
    code = escape[1]
    if len(code) > 1 and code[0] in "uUx":
        return chr(min(int(code[1:], 16), 0x10FFFF))
    return chr(int(code, 8)) if code[0] in "01234567" else _CONTROLS.get(code, code)


def statements(tokens: Sequence[Token]) -> Iterator[tuple[Token, ...]]:
    """Split a query's tokens at the semicolons outside brackets; comments are left out."""
    depth, statement = 0, list[Token]()
    for token in tokens:
        if token.text == ";" and depth <= 0:
            yield tuple(statement)
            statement = []
        elif token.kind != "comment":
            depth += (token.text in _OPEN) - (token.text in _CLOSE)
            statement.append(token)
    yield tuple(statement)


def returns_rows(statement: Sequence[Token]) -> bool:
    """Tell a statement that gives a table from one that only prepares (`let` and the like)."""
    return bool(statement) and statement[0].text.lower() not in _PREPARE
