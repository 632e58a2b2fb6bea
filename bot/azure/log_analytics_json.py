"""Reads a workspace's metadata and a query's result into values, and never stumbles over metadata.

What of the metadata is missing, of a wrong type or without a usable name costs that piece and
nothing else. Shapes: the OpenAPI of 2022-10-27 and its examples.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import orjson

from ..domain.query import Catalogue, Column, Function, Rows, Table
from ..domain.rendering import unmarked
from ..ports import JsonObject
from .log_analytics_errors import DETAIL_CHARS, innermost

# What a name may be that needs no brackets in KQL; the service lets its users make no others.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_TYPES = {
    "bool", "datetime", "dynamic", "int", "long", "real", "string", "guid", "decimal", "timespan",
}  # fmt: skip
_OTHER_TYPES = {"boolean": "bool", "double": "real", "date": "datetime", "uuid": "guid"}
_DESCRIPTION_CHARS = 400


def to_catalogue(data: Any) -> Catalogue:
    """Read what the metadata call says, whatever of it can be read."""
    fields = cast(JsonObject, data) if isinstance(data, dict) else {}
    tables = {table.name: table for table in map(_table, _named(fields.get("tables")))}
    functions = {each.name: each for each in map(_function, _named(fields.get("functions")))}
    return Catalogue(tuple(tables.values()), tuple(functions.values()))


def to_rows(result: Any, limit: int, timespan: timedelta) -> Rows:
    """Read a `LogsQueryResult` or a `LogsQueryPartialResult`, at most `limit` rows of it.

    Times are aware and in UTC, dynamic values are what their JSON says, spans are Kusto's own text
    (`1.02:03:04`), null is None. Raises what a malformed result makes Python raise.
    """
    error = getattr(result, "partial_error", None)
    tables = result.partial_data if error is not None else result.tables
    partial = ""
    if error is not None:
        said = innermost({"error": {"message": error.message, "details": error.details}})
        reason = unmarked(said, DETAIL_CHARS) or error.code or "no reason was given"
        partial = f"The result is not complete: {reason.rstrip('.')}."
    if partial and not tables:
        return Rows((), partial=partial, timespan=timespan)
    table = tables[0]
    columns = tuple(
        Column(str(name), _type(type))
        for name, type in zip(table.columns, table.columns_types, strict=True)
    )
    rows = tuple(
        tuple(_value(column.type, cell) for column, cell in zip(columns, row, strict=True))
        for row in table.rows[:limit]
    )
    return Rows(columns, rows, partial, len(table.rows) > limit, timespan)


def _value(type: str, cell: Any) -> Any:
    match type:
        case "datetime" if isinstance(cell, datetime):
            return cell.astimezone(UTC) if cell.tzinfo else cell.replace(tzinfo=UTC)
        case "dynamic" if isinstance(cell, str):
            try:
                return orjson.loads(cell)
            except orjson.JSONDecodeError:
                return cell
        case "guid" | "timespan" if cell == "None":  # what azure-monitor-query makes of a null
            return None
        case _:
            return cell


def _named(value: Any) -> Iterator[JsonObject]:
    """The objects of a list that have a usable name."""
    for item in cast(list[Any], value) if isinstance(value, list) else ():
        if isinstance(item, dict):
            fields = cast(JsonObject, item)
            if _NAME.fullmatch(_text(fields.get("name"))):
                yield fields


def _table(fields: JsonObject) -> Table:
    columns = {
        each["name"]: Column(each["name"], _type(each.get("type")), _description(each))
        for each in _named(fields.get("columns"))
    }
    time_column = _text(fields.get("timespanColumn"))
    return Table(
        fields["name"],
        tuple(columns.values()),
        _description(fields),
        time_column if time_column in columns else "TimeGenerated",
    )


def _function(fields: JsonObject) -> Function:
    return Function(fields["name"], _text(fields.get("parameters")), _text(fields.get("body")))


def _type(value: Any) -> str:
    """A scalar type as Kusto calls it; a column of a type nobody knows takes any value."""
    name = _text(value).lower()
    name = _OTHER_TYPES.get(name, name)
    return name if name in _TYPES else "dynamic"


def _description(fields: JsonObject) -> str:
    return unmarked(_text(fields.get("description"))[: 2 * _DESCRIPTION_CHARS], _DESCRIPTION_CHARS)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
