"""Chooses what to show of a query's rows and writes their values, for people and for a model."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

from .query import Column, Rows
from .rendering import visible

MAX_VALUE_CHARS = 500
NOTHING = "\u2013"

# Room for the last line, which counts what was left out.
_MORE_CHARS = 40

_OPAQUE, _CONSTANT, _TECHNICAL, _EMPTY = 1, 2, 3, 4

# What a whole workspace or table has in common.
_SAME_FOR_ALL = {"TenantId", "_ResourceId", "_SubscriptionId", "Type", "SourceSystem"}
_COUNTED = {
    "avg", "bytes", "count", "countif", "counts", "dcount", "received", "sent", "size", "sum",
    "sumif", "total",
}  # fmt: skip
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")


def telling_columns(rows: Rows, most: int = 4) -> tuple[int, ...]:
    """Choose the columns that tell rows apart, as indices: a time first, then the query's order.

    Columns that are the same in each row only fill up; empty ones, and where there are more than
    `most` technical ones too, are there only if nothing else is.
    """
    everything = range(len(rows.columns))
    ranks = [_rank(rows, index) for index in everything]
    bar = _TECHNICAL if len(everything) > most else _EMPTY
    shown = [index for index in everything if ranks[index] < bar] or list(everything)
    time = next((index for index in shown if rows.columns[index].type == "datetime"), None)
    best = sorted(shown, key=lambda index: (index != time, ranks[index]))[:most]
    return tuple(sorted(best, key=lambda index: (index != time, index)))


def _rank(rows: Rows, index: int) -> int:
    """0 for a column that tells rows apart at a glance, up to `_EMPTY`."""
    column = rows.columns[index]
    values = [row[index] for row in rows.rows if not is_empty(row[index])]
    if not values:
        return _EMPTY
    if len(values) == len(rows.rows) and all(value == values[0] for value in values):
        return _TECHNICAL if column.name in _SAME_FOR_ALL else _CONSTANT
    opaque = column.type in ("dynamic", "guid") or column.name.endswith("Id")
    return _OPAQUE if opaque or 2 * len(values) < len(rows.rows) else 0


def is_empty(value: Any) -> bool:
    """Say whether a value tells nothing: no value, no text, nothing in it."""
    return value is None or value in ([], {}) or (isinstance(value, str) and not value.strip())


def formatted(value: Any, column: Column) -> str:
    """Write a value for people: times in UTC, amounts with separators, a dash for nothing.

    Only what a column's name calls an amount gets separators: a port or an event id is a name.
    """
    amount = not _COUNTED.isdisjoint(word.lower() for word in _WORD.findall(column.name))
    match value:
        case _ if is_empty(value):
            return NOTHING
        case bool():
            return "true" if value else "false"
        case int():
            return f"{value:,}" if amount else str(value)
        case float():
            places = ".2g" if 0 < abs(value) < 0.01 else ",.2f" if amount else ".2f"
            return format(value, places)
        case datetime():
            return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
        case dict() | list():
            return _json(value)
        case _:
            return str(value)


def as_lines(rows: Rows, limit_chars: int) -> str:
    """Write rows as JSON for a model, an object a line, in at most `limit_chars` characters.

    Empty values are left out and long ones cut; a last line counts the rows that are not there.
    The values are still an attacker's to choose: they need the evidence's fence.
    """
    lines = [_line({"partial": rows.partial})] if rows.partial else []
    used = sum(len(line) + 1 for line in lines)
    kept = 0
    for row in rows.rows:
        line = _line(
            {
                column.name: _capped(value)
                for column, value in zip(rows.columns, row, strict=True)
                if not is_empty(value)
            }
        )
        if used + len(line) + _MORE_CHARS > limit_chars:
            break
        lines.append(line)
        used += len(line) + 1
        kept += 1
    if more := left_out(rows, kept):
        lines.append(_line({"more": more}))
    return "\n".join(lines)


def left_out(rows: Rows, shown: int) -> str:
    """Count the rows beyond the first `shown`: `27 more rows`, or nothing where all are shown."""
    left = len(rows.rows) - shown + rows.capped
    return f"{'at least ' * rows.capped}{left} more row{'s' * (left != 1)}" if left else ""


def _capped(value: Any) -> Any:
    """A value as JSON can hold it; what is long becomes text that is cut."""
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC).isoformat().removesuffix('+00:00')}Z"
    written = value if isinstance(value, str) else _json(value)
    if len(written) > MAX_VALUE_CHARS:
        return written[: MAX_VALUE_CHARS - 1] + "…"
    return value


def _line(fields: dict[str, Any]) -> str:
    return visible(_json(fields))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
