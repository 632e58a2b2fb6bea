"""Explains a query's rows by rule: reads them out of the conversation, and treats them as data."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

from bot.domain.injection import talks_to_assistant

from .asked import Asked

_FENCED = re.compile(
    r"^=====ROWS (?P<marker>\S+)=====\n(?P<lines>.*?)\n?=====END ROWS (?P=marker)=====$",
    re.MULTILINE | re.DOTALL,
)
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d")
_TELLING = re.compile(
    r"user|account|ip(?:address|v4)?$|address|remote|device|computer|operation|action|result|"
    r"file|sender|recipient|alertname",
    re.IGNORECASE,
)
# Lines that say what was left out of the rows.
_NOTES: tuple[set[str], ...] = ({"more"}, {"partial"})
_MOST_VALUES, _MOST_COLUMNS, _CELL = 3, 8, 60

Row = dict[str, Any]


def explain(asked: Asked) -> str:
    """What the last rows of the conversation hold, and what stands out, in at most five points."""
    lines = _lines(asked.messages)
    found = [line for line in lines if line.keys() not in _NOTES]
    if not found:
        return asked.say("no_rows")
    columns = list(dict.fromkeys(name for row in found for name in row))
    listed = ", ".join(_code(name) for name in columns[:_MOST_COLUMNS])
    if len(columns) > _MOST_COLUMNS:
        listed += ", ..."
    telling = _telling(found, columns)
    notes = "".join(f" ({line['more']})" for line in lines if line.keys() == {"more"})
    points = [
        asked.say("rows", count=len(found), columns=listed) + notes,
        *_times(asked, found, columns),
        *_frequent(asked, found, telling),
        _striking(asked, found, columns, telling),
        *(_suspicious(asked, found) or _known(asked, found)),
    ]
    return "\n".join(f"- {point}" for point in points)


def _lines(messages: Sequence[tuple[str, str]]) -> list[Row]:
    for role, text in reversed(messages):
        if role == "user" and (blocks := list(_FENCED.finditer(text))):
            return [row for line in blocks[-1]["lines"].split("\n") if (row := _row(line))]
    return []


def _row(line: str) -> Row:
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return cast(Row, value) if isinstance(value, dict) else {}


def _times(asked: Asked, rows: Sequence[Row], columns: Sequence[str]) -> list[str]:
    for name in columns:
        times = sorted(text for row in rows if _TIME.match(text := _text(row.get(name))))
        if times:
            first, last = (f"{each[:10]} {each[11:16]} UTC" for each in (times[0], times[-1]))
            return [asked.say("rows_time", first=first, last=last, column=_code(name))]
    return []


def _telling(rows: Sequence[Row], columns: Sequence[str]) -> list[tuple[str, Counter[str]]]:
    """The columns of text that say most, each with how often each value occurs."""
    found: list[tuple[str, Counter[str]]] = []
    for name in columns:
        texts = [_text(row.get(name)) for row in rows if isinstance(row.get(name), str)]
        counts = Counter(text for text in texts if text and not _TIME.match(text))
        if counts:
            found.append((name, counts))
    return sorted(found, key=lambda pair: not _TELLING.search(pair[0]))[:_MOST_VALUES]


def _frequent(
    asked: Asked, rows: Sequence[Row], telling: Sequence[tuple[str, Counter[str]]]
) -> list[str]:
    values: list[str] = []
    for name, counts in telling:
        value, count = counts.most_common(1)[0]
        values.append(
            asked.say(
                "rows_value", column=_code(name), value=_code(value), count=count, rows=len(rows)
            )
        )
    return [asked.say("rows_most", values="; ".join(values))] if values else []


def _striking(
    asked: Asked,
    rows: Sequence[Row],
    columns: Sequence[str],
    telling: Sequence[tuple[str, Counter[str]]],
) -> str:
    """The largest of numbers that differ, else a value that occurs once, if there is either."""
    for column in columns:
        numbers = [(row[column], row) for row in rows if type(row.get(column)) in (int, float)]
        if len({number for number, _ in numbers}) > 1 and telling:
            number, row = max(numbers, key=lambda pair: pair[0])
            value = ", ".join(_code(_text(row[name])) for name, _ in telling if row.get(name))
            return asked.say("rows_largest", column=_code(column), number=number, value=value)
    for column, counts in telling:
        rare = [value for value, count in counts.items() if count == 1]
        if rare and len(rare) < len(counts):
            return asked.say("rows_rare", column=_code(column), value=_code(rare[0]))
    return asked.say("rows_same")


def _known(asked: Asked, rows: Sequence[Row]) -> list[str]:
    held = {_text(value).casefold() for row in rows for value in row.values()}
    names = [
        f"{_code(each.text('name', 120))} {each.cite}"
        for each in asked.evidence.entities
        if each.text("name", 120).casefold() in held
    ]
    return [asked.say("rows_known", names=", ".join(names[:5]))] if names else []


def _suspicious(asked: Asked, rows: Sequence[Row]) -> list[str]:
    found = any(talks_to_assistant(json.dumps(row, ensure_ascii=False)) for row in rows)
    return [asked.say("rows_orders")] if found else []


def _text(value: object) -> str:
    return " ".join(value.split()) if isinstance(value, str) else ""


def _code(text: str) -> str:
    """Show a value from a row as what it is: no markup in it works."""
    plain = text.replace("`", "'")
    return f"`{plain if len(plain) <= _CELL else plain[:_CELL].rstrip() + '...'}`"
