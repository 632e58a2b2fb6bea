"""Shows the rows that a query returned."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ..domain.query import Column, Rows, WrittenQuery
from ..domain.rendering import addresses, plain
from ..domain.rows import NOTHING, formatted, is_empty, left_out, telling_columns
from ._copy import copyable
from ._format import counted, moment, period
from ._parts import Card, card, fitted, notices, say, subtle, text, title
from .query import said

MAX_ROWS = 10
MAX_LINES = 12
MAX_CELL_CHARS = 60


def rows_card(rows: Rows, query: WrittenQuery, now: datetime, note: str = "") -> Card:
    """Show the first rows in a table of the columns that tell most, or the only row in full.

    `now` is when the query ran. Adding it is the query's card's matter: a click there changes that
    card, and here it would take the rows away.
    """
    texts = (value for row in rows.rows for value in row if isinstance(value, str))
    found = addresses(" ".join(texts))

    def build(share: int) -> Card:
        body = [
            *_partial(rows, share),
            *notices((), note, share),
            title(_counted(rows)),
            subtle(f"over {period(rows.timespan)}, up to {moment(now, now)}", spacing="none"),
        ]
        if query.explanation.strip():
            body.append(text(said(query.explanation, 200, share), spacing="small"))
        if not query.good:
            body.append(subtle("The query was run without having passed a check."))
        if len(rows.rows) == 1:
            body += _only(rows, share)
        elif rows.rows:
            body += _several(rows, share)
        explain = [say("Explain these rows", "Explain these rows")] if rows.rows else []
        return card(body, [*explain, *copyable([each[:share] for each in found])])

    return fitted(build)


def _counted(rows: Rows) -> str:
    count = len(rows.rows)
    words = counted(count, "row") if count else "No rows"
    return f"More than {words}" if rows.capped else words


def _partial(rows: Rows, share: int) -> list[Card]:
    if not rows.partial:
        return []
    lines = [
        text("Partial result", weight="bolder"),
        text(plain(rows.partial, min(300, share)), spacing="small"),
    ]
    return [{"type": "Container", "style": "warning", "items": lines}]


def _only(rows: Rows, share: int) -> list[Card]:
    """Show the only row, a line for a column. Not as a FactSet: that cuts long words off."""
    full = [index for index, value in enumerate(rows.rows[0]) if not is_empty(value)]
    shown = [index for index in telling_columns(rows, MAX_LINES) if index in full]
    lines = [["Column", "Value"]]
    lines += [
        [_heading(rows.columns[index], share), _cell(rows, 0, index, share)] for index in shown
    ]
    return [_table(lines, (2, 3)), *_rest(rows, 1, len(full) - len(shown))]


def _several(rows: Rows, share: int) -> list[Card]:
    columns = telling_columns(rows)
    shown = min(MAX_ROWS, len(rows.rows))
    lines = [[_heading(rows.columns[index], share) for index in columns]]
    lines += [[_cell(rows, row, index, share) for index in columns] for row in range(shown)]
    widths = [max(map(_width, column)) for column in zip(*lines[1:], strict=True)]
    return [_table(lines, widths), *_rest(rows, shown, len(rows.columns) - len(columns))]


def _width(words: str) -> int:
    """How wide a column should be for a cell, beside the others: by its length, in bounds."""
    return min(12, max(8, len(words)))


def _table(lines: Sequence[Sequence[str]], widths: Sequence[int]) -> Card:
    """Lay out lines below a heading. Microsoft's renderer knows no table without one."""
    return {
        "type": "Table",
        "columns": [{"width": width} for width in widths],
        "rows": [_row(line, bold=index == 0) for index, line in enumerate(lines)],
        "firstRowAsHeader": True,
        "showGridLines": True,
    }


def _row(cells: Sequence[str], *, bold: bool) -> Card:
    weight = "bolder" if bold else "default"
    items = [[text(words, size="small", weight=weight)] for words in cells]
    return {"type": "TableRow", "cells": [{"type": "TableCell", "items": one} for one in items]}


def _heading(column: Column, share: int) -> str:
    name = plain(column.name, min(40, share))
    return f"{name} (UTC)" if column.type == "datetime" else name


def _cell(rows: Rows, row: int, index: int, share: int) -> str:
    value = formatted(rows.rows[row][index], rows.columns[index])
    return plain(value, min(MAX_CELL_CHARS, share)) or NOTHING


def _rest(rows: Rows, shown: int, columns: int) -> list[Card]:
    """Count what the card does not show."""
    parts = [left_out(rows, shown), counted(columns, "more column") if columns else ""]
    rest = ", ".join(filter(None, parts))
    return [subtle(f"and {rest}")] if rest else []
