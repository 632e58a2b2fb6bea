"""The part of OData that incident lists are asked with: `$filter`, `$orderby`, `$top`, paging.

The service documents no grammar; this is what its examples and clients use. What is not known
here is refused, so that a query nobody has tried does not pass as if it had worked.
"""

from __future__ import annotations

import base64
import binascii
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

JsonObject = dict[str, Any]
Predicate = Callable[[JsonObject], bool]

MAX_TOP = 1000
DEFAULT_TOP = 50

_MAX_TOKENS = 200  # a longer filter would only exhaust the parser's stack
_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')"
    r"|(?P<time>\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)?)"
    r"|(?P<number>-?\d{1,18}\b)"
    r"|(?P<word>[A-Za-z][A-Za-z0-9/]*)"
    r"|(?P<mark>[(),]))\s*",
    re.ASCII,
)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
}


class BadQuery(Exception):
    """A query option that cannot be read; the message says which part and why."""


def where(text: str, fields: Mapping[str, str]) -> Predicate:
    """Read a `$filter` into a predicate over resources; `fields` gives each path its type.

    Raises BadQuery.
    """
    return _Filter(text, fields).read()


def ordered(items: Sequence[JsonObject], text: str, fields: Mapping[str, str]) -> list[JsonObject]:
    """Sort resources by an `$orderby`; what has no value comes first. Raises BadQuery."""
    result = list(items)
    for part in reversed(text.split(",")):
        path, _, direction = part.strip().partition(" ")
        if path not in fields or direction.strip().lower() not in ("", "asc", "desc"):
            raise BadQuery(f"Invalid $orderby clause: '{part.strip()}'.")
        result.sort(
            key=lambda item, path=path: _sortable(_value(item, path, fields[path])),
            reverse=direction.strip().lower() == "desc",
        )
    return result


def top(text: str | None, default: int) -> int:
    """Read `$top`; raises BadQuery."""
    if text is None:
        return default
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= MAX_TOP:
        raise BadQuery(f"The value of $top must be between 1 and {MAX_TOP}.")
    return int(text)


def page(
    items: Sequence[JsonObject], size: int, token: str | None
) -> tuple[Sequence[JsonObject], str]:
    """Cut one page out of a list; also give the `$skipToken` of the next one, or "".

    Raises BadQuery.
    """
    start = 0
    if token is not None:
        try:
            start = int(base64.urlsafe_b64decode(token).decode("ascii"))
        except (binascii.Error, ValueError):
            start = -1
        if start < 0:
            raise BadQuery("Invalid $skipToken.")
    end = start + size
    more = base64.urlsafe_b64encode(str(end).encode()).decode() if end < len(items) else ""
    return items[start:end], more


class _Filter:
    """A recursive-descent parser; `or` binds weaker than `and`, and `and` weaker than `not`."""

    def __init__(self, text: str, fields: Mapping[str, str]) -> None:
        self._fields = fields
        self._tokens: list[tuple[str, str]] = []
        self._next = 0
        at = 0
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None or found.end() == at or len(self._tokens) == _MAX_TOKENS:
                raise BadQuery(f"Invalid $filter: cannot read it at position {at}.")
            self._tokens.append((found.lastgroup or "", found[found.lastgroup or 0]))
            at = found.end()

    def read(self) -> Predicate:
        predicate = self._any()
        if self._next < len(self._tokens):
            raise self._unexpected()
        return predicate

    def _any(self) -> Predicate:
        parts = [self._all()]
        while self._accept("or"):
            parts.append(self._all())
        return lambda item: any(part(item) for part in parts)

    def _all(self) -> Predicate:
        parts = [self._one()]
        while self._accept("and"):
            parts.append(self._one())
        return lambda item: all(part(item) for part in parts)

    def _one(self) -> Predicate:
        if self._accept("not"):
            inner = self._one()
            return lambda item: not inner(item)
        if self._accept("("):
            inner = self._any()
            self._expect(")")
            return inner
        if self._accept("contains"):
            return self._contains()
        return self._comparison()

    def _contains(self) -> Predicate:
        self._expect("(")
        path = self._path()
        self._expect(",")
        needle = self._literal(path, "text")
        self._expect(")")
        return lambda item: needle in (_value(item, path, "text") or "")

    def _comparison(self) -> Predicate:
        path = self._path()
        kind, word = self._peek()
        compare = _COMPARE.get(word) if kind == "word" else None
        if compare is None:
            raise self._unexpected()
        self._next += 1
        if self._accept("null"):
            return lambda item: (
                compare in (operator.eq, operator.ne)
                and compare(_value(item, path, self._fields[path]), None)
            )
        literal = self._literal(path, self._fields[path])

        def predicate(item: JsonObject) -> bool:
            value = _value(item, path, self._fields[path])
            return compare is operator.ne if value is None else compare(value, literal)

        return predicate

    def _path(self) -> str:
        kind, word = self._peek()
        if kind != "word":
            raise self._unexpected()
        if word not in self._fields:
            raise BadQuery(f"Invalid $filter: '{word}' is not a property that can be filtered.")
        self._next += 1
        return word

    def _literal(self, path: str, wanted: str) -> Any:
        kind, text = self._peek()
        if kind != wanted or self._fields[path] != wanted:
            raise BadQuery(
                f"Invalid $filter: '{path}' cannot be compared with {text or 'nothing'}."
            )
        self._next += 1
        if kind == "text":
            return text[1:-1].replace("''", "'")
        if kind == "number":
            return int(text)
        try:
            return moment(text)
        except ValueError:
            raise BadQuery(f"Invalid $filter: '{text}' is not a time.") from None

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._next] if self._next < len(self._tokens) else ("", "")

    def _accept(self, word: str) -> bool:
        kind, text = self._peek()
        if kind not in ("word", "mark") or text != word:
            return False
        self._next += 1
        return True

    def _expect(self, word: str) -> None:
        if not self._accept(word):
            raise self._unexpected()

    def _unexpected(self) -> BadQuery:
        _, text = self._peek()
        return BadQuery(f"Invalid $filter: unexpected {repr(text) if text else 'end'}.")


def moment(text: str) -> datetime:
    """Read a time, in UTC where it names no zone; raises ValueError."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _value(item: JsonObject, path: str, kind: str) -> Any:
    value: Any = item
    for key in path.split("/"):
        value = cast(JsonObject, value or {}).get(key)
    return moment(value) if kind == "time" and value is not None else value


def _sortable(value: Any) -> tuple[bool, Any]:
    return (value is not None, value if value is not None else 0)
