"""What is done to a query's operators before they are translated."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, cast

from duckdb_kql import ir
from duckdb_kql.timespans import ticks
from duckdb_kql.translate import summarize_names
from duckdb_kql.types import kusto_type

from .errors import unsupported

_MAX_LIST = 1_048_576  # what Kusto allows a list
_DAY = 864_000_000_000  # in ticks
_OUTER = {"leftouter", "rightouter", "fullouter"}
# Where each function of text has its text; the translator casts a dynamic value to quoted JSON.
_TEXT: Mapping[str, tuple[int, ...]] = {
    "base64_decode_tostring": (0,),
    "base64_encode_tostring": (0,),
    "countof": (0,),
    "extract": (2,),
    "hash_sha256": (0,),
    "indexof": (0,),
    "parse_url": (0,),
    "replace": (0,),
    "replace_regex": (0,),
    "replace_string": (0,),
    "reverse": (0,),
    "split": (0,),
    "trim": (1,),
    "trim_end": (1,),
    "trim_start": (1,),
}


def renames(kinds: Mapping[str, str]) -> list[ir.Operator]:
    """Name columns after their type too, as Kusto does with those that a union finds twice."""
    pairs = tuple((name, f"{name}_{kusto_type(kind)}") for name, kind in sorted(kinds.items()))
    return [ir.ProjectRename(pairs)] if pairs else []


def leaves_out(operator: ir.Operator) -> bool:
    """Whether rows may come out of an operator without a value for some of its columns."""
    match operator:
        case ir.Join(kind=kind):
            return kind in _OUTER
        case ir.Lookup(kind=kind):
            return kind != "inner"
        case ir.Union(kind=kind):
            return kind != "inner"
        case _:
            return False


def mentioned(node: Any) -> Iterator[str]:
    """The columns that an operator reads from its input; a query inside has its own."""
    match node:
        case ir.Query():
            return
        case ir.ColumnRef(name=name):
            yield name
        case ir.MvExpandTarget(column=name):
            yield name
        case tuple():
            for each in cast(tuple[Any, ...], node):
                yield from mentioned(each)
        case ir.Node():
            for field in dataclasses.fields(cast(Any, node)):
                yield from mentioned(getattr(node, field.name))
        case _:
            return


def compared(node: Any) -> Iterator[tuple[str, str]]:
    """The columns that an operator compares with a literal, and the literal's type."""
    match node:
        case ir.Query():
            return
        case ir.BinaryOp(op="==" | "!=" | "<" | "<=" | ">" | ">=", left=left, right=right):
            for one, other in ((left, right), (right, left)):
                match one, other:
                    case ir.ColumnRef(name=name), ir.Literal(
                        kind="string" | "long" | "int" | "real" as kind
                    ):
                        yield name, kind
                    case _:
                        pass
            yield from compared((left, right))
        case tuple():
            for each in cast(tuple[Any, ...], node):
                yield from compared(each)
        case ir.Node():
            for field in dataclasses.fields(cast(Any, node)):
                yield from compared(getattr(node, field.name))
        case _:
            return


def named(operator: ir.Summarize, columns: list[str]) -> ir.Summarize:
    """Give the lists of a `summarize` the names they have before they are changed."""
    names = summarize_names(operator, columns)[1]
    return dataclasses.replace(
        operator,
        aggregates=tuple(
            dataclasses.replace(each, name=name[0])
            if each.name is None
            and isinstance(each.expr, ir.FunctionCall)
            and each.expr.name in ("make_list", "make_set")
            else each
            for each, name in zip(operator.aggregates, names, strict=True)
        ),
    )


def call(call: ir.FunctionCall) -> ir.Expr:
    """Put a function call right whose limit or whose text the translator gets wrong."""
    if call.name in ("make_list", "make_set"):
        *values, limit = call.args if len(call.args) > 1 else (*call.args, None)
        most = _MAX_LIST if limit is None else getattr(limit, "value", None)
        if not isinstance(most, int) or len(values) != 1:
            raise unsupported(f"`{call.name}()` with a limit that is not a number")
        return _slice(dataclasses.replace(call, args=tuple(values)), most)
    if call.name in ("bin", "floor"):
        _check_bin(call)
    if call.name in _TEXT:
        call = dataclasses.replace(call, args=as_text(call.name, call.args))
        return _slice(call, _MAX_LIST) if call.name == "split" else call
    return call


def _check_bin(call: ir.FunctionCall) -> None:
    match call.args:
        case (_, ir.Literal(kind="timespan", value=str() as size)):
            if not (length := ticks(size)) or _DAY % length:
                # Where such bins begin, in Kusto and in the translator, is not settled.
                raise unsupported(f"`{call.name}()` by a time that does not divide a day")
        case _:
            pass


def _slice(call: ir.FunctionCall, most: int) -> ir.FunctionCall:
    first, last = ir.Literal(0, "long"), ir.Literal(most - 1, "long")
    return ir.FunctionCall("array_slice", (call, first, last))


def as_text(name: str, args: tuple[ir.Expr, ...]) -> tuple[ir.Expr, ...]:
    """Give the arguments of a function of text, with those that are its text made strings."""
    return tuple(
        ir.FunctionCall("tostring", (arg,))
        if at in _TEXT[name] and not isinstance(arg, ir.Literal)
        else arg
        for at, arg in enumerate(args)
    )
