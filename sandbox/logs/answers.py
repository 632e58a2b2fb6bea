"""Runs one query and writes its rows the way the service does."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from .errors import QueryError, refused_by_database
from .workspace import Logs

Period = tuple[datetime, datetime]

_CHUNK = 5_000
_MAX_BYTES = 64_000_000
# Inside a dynamic value the database writes a time in its own way.
_TIME = re.compile(rb'"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?"')


@dataclass(frozen=True, slots=True)
class Answer:
    """The rows as JSON, without the brackets around them; `cut` says why some are missing."""

    columns: tuple[Mapping[str, str], ...]
    rows: bytes
    count: int
    seconds: float
    cut: str = ""


class Question:
    """One query over one period; `answer` takes its time, and `stop` ends it from elsewhere."""

    def __init__(self, logs: Logs, text: str, period: Period, *, most: int) -> None:
        self._logs, self._text, self._period, self._most = logs, text, period, most
        self._cursor = logs.database.cursor()
        self._stopped = False

    def stop(self) -> None:
        """Interrupt the query, or keep it from starting."""
        self._stopped = True
        self._cursor.interrupt()

    def answer(self) -> Answer:
        """Run the query: for a thread, not for the event loop. Raises QueryError."""
        import duckdb

        from .kql import translate  # the translator is slow to import

        began = time.perf_counter()
        since, until = (moment.astimezone(UTC).replace(tzinfo=None) for moment in self._period)
        self._cursor.execute("SET VARIABLE since = $1::TIMESTAMP", [since])
        self._cursor.execute("SET VARIABLE until = $1::TIMESTAMP", [until])
        logs = self._logs
        statement = translate(self._text, logs.tables, logs.functions, logs.now(), self._cursor)
        if self._stopped:
            raise QueryError("Stopped", "The query was stopped.")
        try:
            self._cursor.execute(statement.sql, statement.values)
            return self._rows(began)
        except duckdb.Error as error:
            raise refused_by_database(error) from error
        finally:
            self._cursor.close()

    def _rows(self, began: float) -> Answer:
        from duckdb_kql.types import kusto_type

        described = self._cursor.description or []
        columns = tuple({"name": str(d[0]), "type": kusto_type(str(d[1]))} for d in described)
        writers = [_WRITERS.get(column["type"], _plain) for column in columns]
        chunks: list[bytes] = []
        count, size, cut = 0, 0, ""
        while rows := self._cursor.fetchmany(min(_CHUNK, self._most - count + 1)):
            if count + len(rows) > self._most:
                rows = rows[: self._most - count]
                cut = f"The results of this query exceed the set limit of {self._most} records."
            chunks.append(_chunk(rows, writers))
            count, size = count + len(rows), size + len(chunks[-1])
            if size > _MAX_BYTES:
                cut = "The results of this query exceed the set limit of 64 MB."
            if cut:
                break
        body = b",".join(chunk for chunk in chunks if chunk)
        return Answer(columns, body, count, time.perf_counter() - began, cut)


Writer = Callable[[Any], Any]


def _chunk(rows: Sequence[Sequence[Any]], writers: Sequence[Writer]) -> bytes:
    shown = [[write(value) for write, value in zip(writers, row, strict=True)] for row in rows]
    return orjson.dumps(shown)[1:-1]


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int) else str(value)


def _string(value: Any) -> str:
    return "" if value is None else str(value)


def _real(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _datetime(value: datetime | None) -> str | None:
    """Write a time in UTC, with as many decimals as it has."""
    if value is None:
        return None
    text = value.strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".")
    return f"{text}Z"


def _timespan(value: timedelta | None) -> str | None:
    """Write a length of time as `[-][d.]hh:mm:ss[.fffffff]`."""
    if value is None:
        return None
    sign, value = ("-", -value) if value < timedelta() else ("", value)
    minutes, seconds = divmod(value.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days = f"{value.days}." if value.days else ""
    fraction = f".{value.microseconds:06}0" if value.microseconds else ""
    return f"{sign}{days}{hours:02}:{minutes:02}:{seconds:02}{fraction}"


def _dynamic(value: Any) -> str | None:
    """Write a dynamic value as the service does: text as it is, all else as JSON text."""
    if value is None:
        return None
    raw = value.encode() if isinstance(value, str) else orjson.dumps(value, default=str)
    raw = _TIME.sub(_service_time, raw)
    if raw.startswith(b'"'):
        return str(orjson.loads(raw))
    return raw.decode()


def _service_time(found: re.Match[bytes]) -> bytes:
    date, clock, fraction = found.groups()
    return b'"%bT%b.%bZ"' % (date, clock, (fraction or b"").ljust(7, b"0"))


_WRITERS: Mapping[str, Writer] = {
    "string": _string,
    "real": _real,
    "datetime": _datetime,
    "timespan": _timespan,
    "dynamic": _dynamic,
}
