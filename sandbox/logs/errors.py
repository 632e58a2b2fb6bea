"""What the service says of a query that it does not run."""

from __future__ import annotations

import re

_SPOKEN = {"Mvapply": "mv-apply", "StringStar": "where *", "LetFunctionBody": "view or function"}


class QueryError(Exception):
    """The service's word on a query: `kind` is SyntaxError, SemanticError or Unsupported."""

    def __init__(
        self,
        kind: str,
        message: str,
        *,
        code: str = "",
        line: int = 0,
        pos: int = 0,
        token: str = "",
    ) -> None:
        super().__init__(message)
        self.kind, self.message, self.code = kind, message, code
        self.line, self.pos, self.token = line, pos, token


def unsupported(what: str) -> QueryError:
    """Say that the sandbox, not the query, falls short."""
    return QueryError(
        "Unsupported", f"The sandbox cannot run {what}; the query itself may be fine."
    )


def refused_by_database(error: Exception) -> QueryError:
    """Say what the database said, in one line and without its SQL."""
    first = str(error).split("\n", 1)[0].strip()
    return unsupported(f"this ({first[:200]})")


def syntax(line: int, pos: int, token: str) -> QueryError:
    """Say that the query does not parse, and where: `line` counts from 1, `pos` from 0."""
    where = f" at '{token}'" if token else ""
    return QueryError(
        "SyntaxError",
        f"Query could not be parsed{where} on line [{line},{pos}]. "
        "(The sandbox's parser knows most of KQL, not all of it.)",
        code="SYN0002",
        line=line,
        pos=pos,
        token=token,
    )


def incomparable(name: str, kind: str, literal: str) -> QueryError:
    """Say that a column of one type is compared with a literal of another."""
    message = (
        f"Cannot compare values of types {kind} and {literal}. "
        f"Try adding explicit casts to '{name}'."
    )
    return QueryError("SemanticError", message, code="SEM0064", token=name)


def unresolved(name: str, what: str) -> QueryError:
    """Say that nothing has this name in this spelling."""
    message = f"Failed to resolve {what} named '{name}'"
    return QueryError("SemanticError", message, code="SEM0100", token=name)


def spoken(construct: str) -> str:
    """Name a construct as KQL writes it, from what the translator calls it."""
    kind, _, name = construct.rpartition(":")
    if kind in ("function", "aggregate"):
        return f"`{name}()`"
    name = name.removesuffix("Part").removesuffix("Expression").removesuffix("Operator")
    name = _SPOKEN.get(name, name)
    return f"`{re.sub(r'(?<=[a-z])(?=[A-Z])', '-', name).lower()}`"
