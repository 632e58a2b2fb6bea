"""The little of Cosmos DB's query language that the store speaks, read strictly.

`SELECT [TOP n] * | c.a, c.b FROM c [WHERE condition] [ORDER BY c.a [DESC]]`, where a condition is
comparisons of a property with a constant or a parameter, joined by AND or OR. Anything else, and a
filter or a sort by what is not indexed, is an error: here it would be a slow query in production.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Item = dict[str, Any]
Condition = Callable[[Item], bool]

_QUERY = re.compile(
    r"SELECT (?:TOP (?P<top>@?\w+) )?(?P<select>\*|c\.\w+(?:, c\.\w+)*) FROM c"
    r"(?: WHERE (?P<where>.+?))?(?: ORDER BY c\.(?P<order>\w+)(?P<descending> DESC)?)?"
)
_COMPARISON = re.compile(r'c\.(\w+) (=|<=|>=|<|>) (@\w+|true|false|\d+|"(?:[^"\\]|\\.)*")')
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
# Of the language's own words, those that might name a property; then it would be `c["value"]`.
_RESERVED = set(
    re.findall(
        r"\w+",
        "and array as asc between by case cross desc distinct end escape exists false for from "
        "group having in insert into is join left like limit not null offset on or order outer "
        "rank right select set then top true udf undefined update value when where with",
    )
)


class Unsupported(Exception):
    """The service, or this double, does not answer such a query."""


@dataclass(frozen=True)
class Query:
    top: int | None
    select: tuple[str, ...]
    where: Condition
    order: str
    descending: bool

    def of(self, items: Iterable[Item]) -> list[Item]:
        found = [item for item in items if self.where(item)]
        if self.order:
            # What lacks the property is not in the index that sorts.
            found = [item for item in found if self.order in item]
            found.sort(key=lambda item: item[self.order], reverse=self.descending)
        if not self.select:
            return found[: self.top]
        return [
            {name: item[name] for name in self.select if name in item}
            for item in found[: self.top]
        ]  # fmt: skip


def query(text: str, values: Mapping[str, Any], indexed: Sequence[str], one: bool) -> Query:
    """Read a query; `one` says whether it is asked of one partition."""
    _allowed(text)
    read = _QUERY.fullmatch(text)
    if read is None:
        raise Unsupported(f"not a query of ours: {text}")
    top, order = read["top"], read["order"] or ""
    if not one and (top or order):
        raise Unsupported("over partitions the gateway does not sort or count")
    if order and order not in indexed:
        raise Unsupported(f"sorts by {order}, which is not indexed")
    select = () if read["select"] == "*" else tuple(re.findall(r"c\.(\w+)", read["select"]))
    limit = None if top is None else values[top] if top.startswith("@") else int(top)
    where = condition(read["where"], values, indexed) if read["where"] else lambda _: True
    return Query(limit, select, where, order, bool(read["descending"]))


def condition(
    text: str, values: Mapping[str, Any], indexed: Sequence[str] | None = None
) -> Condition:
    """Read what stands after WHERE; in a patch's condition anything may be compared."""
    _allowed(text)
    either = [
        [_comparison(part, values, indexed) for part in each.split(" AND ")]
        for each in text.split(" OR ")
    ]
    return lambda item: any(all(holds(item) for holds in each) for each in either)


def _allowed(text: str) -> None:
    if reserved := _RESERVED & set(re.findall(r"\bc\.(\w+)", text.lower())):
        raise Unsupported(f"reserved: {reserved}")


def _comparison(text: str, values: Mapping[str, Any], indexed: Sequence[str] | None) -> Condition:
    read = _COMPARISON.fullmatch(text)
    if read is None:
        raise Unsupported(f"not a comparison of ours: {text}")
    name, compare, constant = read.groups()
    if indexed is not None and name not in indexed:
        raise Unsupported(f"filters by {name}, which is not indexed")
    wanted = values[constant] if constant.startswith("@") else json.loads(constant)

    def holds(item: Item) -> bool:
        # Of two types, or with what is not there, no comparison holds.
        there = item.get(name)
        return type(there) is type(wanted) and _OPERATORS[compare](there, wanted)

    return holds
