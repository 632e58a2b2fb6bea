"""Says how far back a query looks, so that the time range it runs under does not cut it short."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from .query_lexer import lex

# The service lays the range of the call over the query's own filter (docs: azure-monitor-query).
USUAL = timedelta(days=7)
FARTHEST = timedelta(days=90)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(d|h|m(?!s|illi|icro)|s)\w*")
_UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_TIME = re.compile(r"(?:date|datetime)\((.*)\)", re.IGNORECASE)


def reach(query: str, now: datetime) -> timedelta:
    """The time range to run a query under, in whole days: to its longest duration or first date.

    A query that names no time gets a week; none gets more than 90 days.
    """
    spans = [*_spans(query, now)]
    if not spans:
        return USUAL
    wanted = min(max(spans), FARTHEST)
    return timedelta(days=max(1, -(-wanted // timedelta(days=1))))


def _spans(query: str, now: datetime) -> Iterator[timedelta]:
    for token in lex(query):
        if token.kind != "number":
            continue
        if found := _DURATION.fullmatch(token.text):
            # Nobody looks back longer than a human life; a number without end is no error here.
            yield timedelta(**{_UNITS[found[2]]: min(float(found[1]), 3e4)})
        elif (found := _TIME.fullmatch(token.text)) and (at := _moment(found[1])):
            yield max(now - at, timedelta(0))


def _moment(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text.strip(" '\""))
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
