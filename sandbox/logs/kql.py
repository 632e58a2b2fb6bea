"""Turns KQL into SQL that means the same, or says why it cannot.

`duckdb-kql` translates. This module stands around it, because a wrong answer is worse than none:
it resolves tables and columns with their case, as Kusto does and DuckDB does not; it refuses what
the translator gets wrong without a word; and it changes what can be put right:

- `make_list(x, n)` and `make_set(x, n)` keep at most n; lists are dynamic values, not SQL arrays;
- functions of text read a dynamic value as its text;
- an escaped character in a string is the character it stands for;
- a string that an outer join, a lookup or a union left out is "", never null.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, cast

import duckdb
from duckdb_kql import KqlSchemaError, KqlSyntaxError, KqlUnsupportedError, ir
from duckdb_kql.control import strip_leading_comments
from duckdb_kql.lower import lower
from duckdb_kql.schema import match_wildcard, output_columns
from duckdb_kql.stored_functions import parse_functions
from duckdb_kql.translate import CLOCK_SLOT, clock, to_sql
from duckdb_kql.types import kusto_type

from bot.domain.query_lexer import lex

from . import errors, repairs
from .errors import unsupported
from .workspace import Function, Table

MAX_CHARS = 20_000

# Strings that the translator takes with their marks.
_MARKED_STRING = re.compile(r"""h@?["']|```|~~~""", re.IGNORECASE)
_TOKEN = re.compile(r"(?:input|at) '((?:[^'\\]|\\.)*)'")


_ESCAPE = re.compile(r"(?<!\\)((?:\\\\)*)\\u([0-9a-fA-F]{4})")

_Lets = Sequence[tuple[str, Any]]


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL and the values of its parameters."""

    sql: str
    values: Mapping[str, Any]


def translate(
    query: str,
    tables: Mapping[str, Table],
    functions: Sequence[Function],
    now: datetime,
    cursor: duckdb.DuckDBPyConnection,
) -> Statement:
    """Translate a query; `cursor` is asked for the types of what it reads. Raises QueryError."""
    if len(query) > MAX_CHARS:
        raise unsupported(f"a query of more than {MAX_CHARS:,} characters")
    if strip_leading_comments(query).lstrip().startswith("."):
        raise errors.syntax(1, 0, ".")
    try:
        return _Translation(tables, functions, now, cursor).translate(query)
    except KqlSyntaxError as error:
        first = error.diagnostics[0]
        token = _TOKEN.search(first.message)
        raise errors.syntax(
            first.span.line, first.span.column, token[1] if token else ""
        ) from error
    except KqlUnsupportedError as error:
        raise unsupported(errors.spoken(error.construct)) from error
    except KqlSchemaError as error:
        raise unsupported(f"`{error.name}` as it is used here ({error})") from error
    except RecursionError as error:
        raise unsupported("a query as deeply nested as this") from error
    except duckdb.Error as error:
        raise errors.refused_by_database(error) from error


def _unescaped(query: str) -> str:
    r"""Write characters in place of `\uXXXX`, which the translator takes for the letter u."""
    for token in reversed(lex(query)):
        if token.kind == "string" and token.text[0] in "\"'" and "\\u" in token.text:
            end = token.start + len(token.text)
            query = query[: token.start] + _ESCAPE.sub(_meant, token.text) + query[end:]
    return query


def _meant(found: re.Match[str]) -> str:
    char = chr(int(found[2], 16))
    return found[1] + (char if char.isprintable() and char not in "\"'\\" else f"\\u{found[2]}")


@cache
def _parsed(functions: tuple[str, ...]) -> Any:
    # Parsing them takes longer than any query; a workspace has the same ones as long as it lives.
    return parse_functions(functions)


class _Translation:
    """One query's translation."""

    def __init__(
        self,
        tables: Mapping[str, Table],
        functions: Sequence[Function],
        now: datetime,
        cursor: duckdb.DuckDBPyConnection,
    ) -> None:
        self._tables = tables
        self._schema = {name: list(table.columns) for name, table in tables.items()}
        self._functions = _parsed(
            tuple(f"function {f.name}({f.parameters}) {{ {f.body} }}" for f in functions)
        )
        self._now, self._cursor = now.astimezone(UTC).replace(tzinfo=None), cursor

    def translate(self, query: str) -> Statement:
        with clock(self._now):
            lowered = lower(_unescaped(query), None, self._functions)
            if lowered.parameters:
                raise unsupported("`declare query_parameters`")
            return self._sql(self._query(lowered, []))

    def _sql(self, query: ir.Query) -> Statement:
        sql = str(to_sql(query, self._schema))
        return Statement(sql, {CLOCK_SLOT: self._now} if f"${CLOCK_SLOT}" in sql else {})

    # the walk: every query, with the tabular `let`s it sees

    def _query(self, query: ir.Query, seen: _Lets) -> ir.Query:
        lets: list[tuple[str, Any]] = []
        for name, bound in query.lets:
            lets.append((name, self._node(bound, [*seen, *lets])))
        scope = [*seen, *lets]
        done = ir.Query(self._node(query.source, scope), [], lets)

        def so_far() -> ir.Query:
            return ir.Query(done.source, list(done.operators), scope)

        first = query.operators[0] if query.operators else None
        if isinstance(first, ir.Union) and first.isfuzzy and not self._resolves(done.source, scope):
            raise unsupported("a fuzzy union whose first table is missing")
        self._check_source(done.source, scope)
        for operator in query.operators:
            self._check_columns(operator, so_far())
            if isinstance(operator, ir.Summarize):
                operator = repairs.named(operator, self._columns(so_far()))
            if isinstance(operator, ir.Union) and operator.isfuzzy:
                found = (each for each in operator.branches if self._resolves(each.source, scope))
                operator = dataclasses.replace(operator, branches=tuple(found))
            operator = self._node(operator, scope)
            if isinstance(operator, ir.Join | ir.Lookup):
                self._check_keys(operator, scope)
            if isinstance(operator, ir.Union):
                left, operator = self._split(so_far(), operator, scope)
                done.operators.extend(left)
            done.operators.append(operator)
            if repairs.leaves_out(operator):
                done.operators.extend(self._blanks(so_far()))
        return done

    def _node(self, node: Any, scope: _Lets) -> Any:
        match node:
            case ir.Query():
                return self._query(node, scope)
            case tuple():
                return tuple(self._node(each, scope) for each in cast(tuple[Any, ...], node))
            case ir.Literal(value=str() as text, kind="string") if _MARKED_STRING.match(text):
                raise unsupported("an obfuscated or multi-line string")
            case ir.CommandSource():
                raise unsupported("a control command")
            case ir.PathAccess(base=ir.FunctionCall(name="split") as call):
                # An element of split() is right as it is.
                args = self._node(call.args, scope)
                base = dataclasses.replace(call, args=repairs.as_text(call.name, args))
                return dataclasses.replace(node, base=base, steps=self._node(node.steps, scope))
            case ir.Node():
                made = dataclasses.replace(
                    cast(Any, node),
                    **{
                        field.name: self._node(getattr(node, field.name), scope)
                        for field in dataclasses.fields(cast(Any, node))
                    },
                )
                return repairs.call(made) if isinstance(made, ir.FunctionCall) else made
            case _:
                return node

    # names, with their case

    def _columns(self, query: ir.Query) -> list[str]:
        return output_columns(query, self._schema)

    def _types(self, query: ir.Query) -> dict[str, str]:
        statement = self._sql(query)
        self._cursor.execute(f"DESCRIBE {statement.sql}", statement.values)
        return {str(row[0]): str(row[1]) for row in self._cursor.fetchall()}

    def _check_source(self, source: ir.Source, scope: _Lets) -> None:
        if isinstance(source, ir.TableRef | ir.WildcardTableRef) and source.database:
            raise unsupported("another workspace or database")
        if isinstance(source, ir.WildcardTableRef):
            kinds: dict[str, str] = {}
            for table in match_wildcard(source, self._schema):
                for name, kind in self._tables[table].columns.items():
                    if kinds.setdefault(name, kind) != kind:
                        raise unsupported(f"a union in which `{name}` has two types")
        if isinstance(source, ir.TableRef) and not self._resolves(source, scope):
            raise errors.unresolved(source.name, "table or column expression")

    def _resolves(self, source: ir.Source, scope: _Lets) -> bool:
        if not isinstance(source, ir.TableRef):
            return True
        return source.name in self._schema or source.name in {name for name, _ in scope}

    def _check_columns(self, operator: ir.Operator, before: ir.Query) -> None:
        match operator:
            case ir.Union():
                return
            case ir.Join(keys=keys) | ir.Lookup(keys=keys):
                names = [key.left for key in keys]
            case ir.ProjectAway(columns=columns):
                names = list(columns)
            case ir.ProjectRename(renames=renames):
                names = [old for old, _ in renames]
            case _:
                names = list(repairs.mentioned(operator))
        known = set(self._columns(before))
        for name in names:
            if name not in known:
                raise errors.unresolved(name, "column or scalar expression")
        compared = list(repairs.compared(operator))
        types = self._types(before) if compared else {}
        for name, literal in compared:
            kind = kusto_type(types[name])
            if kind != "dynamic" and (kind == "string") != (literal == "string"):
                raise errors.incomparable(name, kind, literal)

    def _check_keys(self, join: ir.Join | ir.Lookup, scope: _Lets) -> None:
        right = join.right
        known = self._columns(ir.Query(right.source, right.operators, [*scope, *right.lets]))
        for key in join.keys:
            if key.right not in known:
                raise errors.unresolved(key.right, "column or scalar expression")

    def _split(
        self, left: ir.Query, union: ir.Union, scope: _Lets
    ) -> tuple[list[ir.Operator], ir.Union]:
        """Make two columns of one that has two types, `X_string` and `X_dynamic`, as Kusto does.

        Gives what is to be done before the union, and the union.
        """
        branches = [
            ir.Query(each.source, each.operators, [*scope, *each.lets]) for each in union.branches
        ]
        types = [self._types(each) for each in (left, *branches)] if branches else []
        kinds: dict[str, set[str]] = {}
        for each in types:
            for name, kind in each.items():
                kinds.setdefault(name, set()).add(kind)
        twice = {name for name, found in kinds.items() if len(found) > 1}
        if not twice:
            return [], union
        if union.with_source:
            raise unsupported(f"a union with `withsource` in which `{min(twice)}` has two types")
        renames = [
            repairs.renames({name: each[name] for name in twice & each.keys()}) for each in types
        ]
        return renames[0], dataclasses.replace(
            union,
            branches=tuple(
                dataclasses.replace(branch, operators=[*branch.operators, *renamed])
                for branch, renamed in zip(union.branches, renames[1:], strict=True)
            ),
        )

    def _blanks(self, query: ir.Query) -> Iterator[ir.Operator]:
        texts = [name for name, kind in self._types(query).items() if kind == "VARCHAR"]
        if texts:
            blank = ir.Literal("", "string")
            yield ir.Extend(
                tuple(
                    ir.NamedExpr(ir.FunctionCall("coalesce", (ir.ColumnRef(name), blank)), name)
                    for name in texts
                )
            )
