"""What a KQL query, a workspace's tables and a query's rows are to Casemate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Literal

MAX_QUERY_CHARS = 10_000

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column; `type` is one of Kusto's scalar types as the workspace spells it."""

    name: str
    type: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the workspace.

    `rows` is how much was ingested lately, in megabytes (`Usage` counts no rows), or None where
    that is not known.
    """

    name: str
    columns: tuple[Column, ...]
    description: str = ""
    time_column: str = "TimeGenerated"
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class Function:
    """A function saved in the workspace; `parameters` and `body` are KQL text."""

    name: str
    parameters: str = ""
    body: str = ""


@dataclass(frozen=True)
class Catalogue:
    """The tables and functions of one workspace, as they were at `read_at`."""

    tables: tuple[Table, ...]
    functions: tuple[Function, ...] = ()
    read_at: datetime | None = None
    watchlists: tuple[str, ...] = ()

    @cached_property
    def by_name(self) -> Mapping[str, Table]:
        """The tables by name, as KQL spells them (case counts)."""
        return {table.name: table for table in self.tables}


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a query: `kind` says what the lexer or the language service takes it for.

    Kinds: `name`, `number`, `string`, `operator`, `comment`, `directive`, `unknown`. `start` is a
    0-based offset in characters.
    """

    kind: str
    text: str
    start: int


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One thing that is wrong with a query, with the names that come nearest."""

    code: str
    severity: Severity
    message: str
    start: int
    length: int
    nearest: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Checked:
    """What the language service says of a query bound against a catalogue.

    `tables` are those of the catalogue that the query refers to. `tokens` are the service's own.
    """

    diagnostics: tuple[Diagnostic, ...] = ()
    tables: tuple[str, ...] = ()
    tokens: tuple[Token, ...] = ()

    @property
    def good(self) -> bool:
        """Nothing in it is an error."""
        return all(each.severity != "error" for each in self.diagnostics)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The guard's word: any `refused` keeps a query from being run; `warnings` do not."""

    refused: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WrittenQuery:
    """A query as an analyst is shown it, with what is known of it.

    `kql` is all of it; its first `ours` characters are our definitions, which hold values of the
    incident. `tables` is how many tables of the workspace
    it was checked against, or None where nothing checked it. `problems` keep it from being called
    good, `cautions` do not; both are sentences. `refused` is the guard's word: it is never run.
    `by_playbook` names the vetted query that it is.
    """

    kql: str
    explanation: str = ""
    assumptions: tuple[str, ...] = ()
    tables: int | None = None
    problems: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()
    refused: bool = False
    by_playbook: str = ""
    ours: int = 0

    @property
    def body(self) -> str:
        """The query without our definitions: what a model is shown outside the evidence's fence."""
        return self.kql[self.ours :]

    @property
    def good(self) -> bool:
        """It was checked, and nothing is wrong with it."""
        return self.tables is not None and not self.problems


@dataclass(frozen=True, slots=True)
class Rows:
    """What a query returned: at most the cap's rows; `partial` says what is missing and why."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...] = ()
    partial: str = ""
    capped: bool = False
    timespan: timedelta = field(default=timedelta(days=1))
