"""Our own queries, the schemas they are checked against, and the misspellings made of them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

from bot.domain.query import Catalogue, Checked, Column, Table, Token

HERE = Path(__file__).parent
# What stands before a parenthesis and is not a function, or is one that has two right spellings.
NOT_FUNCTIONS = """
    and as between by datatable dynamic has_all has_any in in~ inner leftanti leftouter make_list
    make_set materialize of on or parse_json search toscalar typeof union view where with
"""
LARGE = HERE.parents[2] / "shared" / "kql" / "tables.json"


@dataclass(frozen=True)
class Query:
    name: str
    text: str


@dataclass(frozen=True)
class Misspelling:
    """`text` is a query in which the name `right`, a table, column or function, became `wrong`."""

    kind: str
    right: str
    wrong: str
    text: str


@cache
def queries() -> tuple[Query, ...]:
    """One query a paragraph, named by its first line, a comment."""
    found: list[Query] = []
    for path in sorted((HERE / "queries").glob("*.kql")):
        for text in path.read_text("utf-8").strip().split("\n\n"):
            title = text.splitlines()[0].removeprefix("// ")
            found.append(Query(f"{path.stem}: {title}", text))
    return tuple(found)


@cache
def small() -> Catalogue:
    """Part of some forty tables: `name` or `name:type`, all of them with TimeGenerated and Type."""
    tables = json.loads((HERE / "schema.json").read_text("utf-8"))
    columns = {name: f"TimeGenerated:datetime Type {text}".split() for name, text in tables.items()}
    return Catalogue(
        tuple(
            Table(name, tuple(Column(*f"{each}:string".split(":")[:2]) for each in listed))
            for name, listed in columns.items()
        )
    )


@cache
def large() -> Catalogue | None:
    """698 whole tables, or None where that file is not at hand."""
    if not LARGE.exists():
        return None
    tables = json.loads(LARGE.read_text("utf-8"))
    return Catalogue(
        tuple(
            Table(name, tuple(Column(*each) for each in columns.items()))
            for name, columns in tables.items()
        )
    )


def misspellings(query: Query, checked: Checked) -> Iterator[Misspelling]:
    """One misspelt table, column and function of a query, the same in every run."""
    known = small().by_name
    columns = {column.name for table in checked.tables for column in known[table].columns}
    chance = random.Random(query.name)
    code = [token for token in checked.tokens if token.kind != "comment"]
    given = {after.text for let, after in pairwise(code) if let.text == "let"}
    sites: dict[str, list[Token]] = {"table": [], "column": [], "function": []}
    for before, token, after in zip([None, *code], code, [*code[1:], None], strict=False):
        follows = after.text if after else ""
        if token.kind != "name" or follows in ("=", ":") or (before and before.text == "."):
            continue  # it is given here, or is a part of a dynamic value
        if follows == "(" and token.text not in {*NOT_FUNCTIONS.split(), *given}:
            sites["function"].append(token)
        elif token.text in checked.tables:
            sites["table"].append(token)
        elif token.text in columns and follows != "(":
            sites["column"].append(token)
    for kind, tokens in sites.items():
        if tokens:
            token = chance.choice(tokens)
            wrong = misspelt(token.text, chance, {*known, *columns, *given})
            text = query.text[: token.start] + wrong + query.text[token.start + len(token.text) :]
            yield Misspelling(kind, token.text, wrong, text)


def misspelt(name: str, chance: random.Random, taken: set[str]) -> str:
    """The name with one slip of a finger: a letter lost, doubled, swapped or replaced."""
    while True:
        at = chance.randrange(1, len(name))
        slips = (
            name[:at] + name[at + 1 :],
            name[:at] + name[at] + name[at:],
            name[: at - 1] + name[at] + name[at - 1] + name[at + 1 :],
            name[:at] + chance.choice("aeionrst") + name[at + 1 :],
        )
        slip = chance.choice(slips)
        if slip not in taken and slip.lower() != name.lower():
            return slip
