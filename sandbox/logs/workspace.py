"""The sandbox workspace's logs, loaded into a database in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from prompts.reading import read_yaml

from ..world import Case, World
from . import records
from .people import company
from .rows import Maker, Row

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_HERE = Path(__file__).parent
_SEED = "casemate"
_MEMORY = "512MB"
_CHUNK = 4_000  # rows that are stored at once, to need less memory
_EVERYWHERE = {"TenantId": "string", "SourceSystem": "string", "Type": "string"}
_STORED = {
    "string": "VARCHAR",
    "datetime": "TIMESTAMP",
    "dynamic": "JSON",
    "bool": "BOOLEAN",
    "int": "INTEGER",
    "long": "BIGINT",
    "real": "DOUBLE",
}


@dataclass(frozen=True, slots=True)
class Table:
    """A table; `columns` maps a name to a Kusto type, in the table's order. `rows` counts them."""

    name: str
    about: str
    columns: Mapping[str, str]
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Function:
    """A saved function; `parameters` and `body` are KQL."""

    name: str
    about: str
    parameters: str
    body: str


@dataclass(frozen=True, slots=True)
class Logs:
    """The workspace's logs.

    `database` holds a view for each table that shows the rows from `since` to `until`, two
    variables of the cursor that asks (see `run`). `now` tells the time to `ago()` and `now()`.
    """

    database: DuckDBPyConnection
    tables: Mapping[str, Table]
    functions: tuple[Function, ...]
    now: Callable[[], datetime]


def load_logs(now: datetime, world: World, *, seed: str = _SEED) -> Logs:
    """Make the logs that tell the stories of the world's incidents among ordinary days.

    Times lie before `now`; the same `now` and `seed` give the same rows. Later questions take the
    time from the world's clock. Reads files and takes a second: call it before the loop serves.
    """
    import duckdb

    tables, rows = make_rows(now, world, seed)
    database = duckdb.connect(
        ":memory:", config={"memory_limit": _MEMORY, "threads": 1, "temp_directory": ""}
    )
    database.execute("SET TimeZone = 'UTC'; CREATE SCHEMA logs")
    for table in tables.values():
        _store(database, table, rows.get(table.name, []))
    database.execute(
        "SET python_enable_replacements = false; SET enable_external_access = false;"
        "SET lock_configuration = true"
    )
    functions = tuple(Function(**entry) for entry in _read("functions.yaml"))
    return Logs(database, tables, functions, world.now)


def make_rows(
    now: datetime, world: World, seed: str = _SEED
) -> tuple[Mapping[str, Table], Mapping[str, list[Row]]]:
    """Make the tables and their rows, oldest first, with times as the service writes them."""
    entries = _read("tables.yaml")
    kinds = {
        name: {**dict(_columns(entry["columns"])), **_EVERYWHERE} for name, entry in entries.items()
    }
    fill = _read("fill.yaml")
    maker = Maker(company(_read("people.yaml"), seed), now, seed)
    rows: dict[str, list[Row]] = {}
    for path in (_HERE / "ordinary.yaml", *sorted((_HERE / "incidents").glob("*.yaml"))):
        for name, batches in _load(path).items():
            made = maker.rows(name, kinds[name], fill.get(name, {}), batches, path.stem)
            rows.setdefault(name, []).extend(made)
    rows["SecurityAlert"] = list(records.alerts(world.cases.values()))
    rows["SecurityIncident"] = list(records.incidents(world, world.cases.values()))
    rows["Usage"] = list(records.usage(rows))
    for each in rows.values():
        each.sort(key=lambda row: row["TimeGenerated"])
    tables = {
        name: Table(name, entries[name]["about"], columns, len(rows.get(name, [])))
        for name, columns in kinds.items()
    }
    return tables, rows


def add_rows(logs: Logs, world: World, case: Case, batches: Mapping[str, Sequence[Row]]) -> None:
    """Add what the logs tell of a new incident, the alerts and the incident itself included.

    `batches` are a file's, by table; their times lie before now. Reads files: not on a loop.
    """
    fill, origin = _read("fill.yaml"), f"arrived {case.number}"
    maker = Maker(company(_read("people.yaml"), _SEED), logs.now(), _SEED)
    rows: dict[str, list[Row]] = {}
    for name, each in batches.items():
        columns = logs.tables[name].columns
        rows[name] = list(maker.rows(name, columns, fill.get(name, {}), each, origin))
    rows["SecurityAlert"] = list(records.alerts([case]))
    rows["SecurityIncident"] = list(records.incidents(world, [case]))
    # A connection of its own: queries may run meanwhile.
    with logs.database.cursor() as database:
        for name, each in rows.items():
            _insert(database, logs.tables[name], each)


def _store(database: DuckDBPyConnection, table: Table, rows: Sequence[Row]) -> None:
    columns = ", ".join(f'"{name}" {_STORED[kind]}' for name, kind in table.columns.items())
    database.execute(f'CREATE TABLE logs."{table.name}" ({columns})')
    _insert(database, table, rows)
    database.execute(
        f'CREATE VIEW "{table.name}" AS SELECT * FROM logs."{table.name}" '  # noqa: S608
        "WHERE TimeGenerated >= getvariable('since') AND TimeGenerated <= getvariable('until')"
    )


def _insert(database: DuckDBPyConnection, table: Table, rows: Sequence[Row]) -> None:
    stored = {name: _STORED[kind] for name, kind in table.columns.items()}
    shape = orjson.dumps([stored]).decode()
    # A string in Kusto is never null.
    values = ", ".join(
        f"coalesce(r.\"{name}\", '')" if kind == "VARCHAR" else f'r."{name}"'
        for name, kind in stored.items()
    )
    for start in range(0, len(rows), _CHUNK):
        database.execute(
            f'INSERT INTO logs."{table.name}" SELECT {values} '  # noqa: S608 - our own names
            f"FROM (SELECT unnest(from_json($1, '{shape}')) AS r)",
            [orjson.dumps(rows[start : start + _CHUNK]).decode()],
        )


def _columns(text: str) -> Iterator[tuple[str, str]]:
    for entry in text.split():
        name, _, kind = entry.partition(":")
        yield name, kind or "string"


def _read(name: str) -> Any:
    return _load(_HERE / name)


def _load(path: Path) -> Any:
    return read_yaml(path.read_text("utf-8"))
