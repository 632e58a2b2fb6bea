"""Finds the tables and columns a question is about, and words them for a prompt.

Nothing is learned and no vectors are kept: words of the question against the words of names,
descriptions and a list of what analysts call things; the incident's entities against columns; its
tactics against the tables where they show; and whether a table holds data at all.
"""

from __future__ import annotations

import difflib
import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache

from .catalogue_hints import DULL_COLUMNS, ENTITY_COLUMNS, STOP_WORDS, TABLE_WORDS, TACTIC_TABLES
from .query import Catalogue, Column, Table
from .rendering import unmarked

# What a word is worth where it stands, and what else speaks for a table.
NAME, KNOWN, COLUMN, DESCRIBED = 4.0, 3.0, 1.0, 1.0
NAMED, MENTIONED, ENTITY, TACTIC, USUAL = 40.0, 3.0, 1.5, 2.0, 1.0
_EMPTY = 0.3  # a table that is known to hold nothing is seldom what is meant
_DESCRIPTION_CHARS = 100
_FEW = 8  # columns: a table that cannot show so many is left out

# "sign-in", "Signin", "logged on", "LogonEvents": one word, whoever wrote it.
_SIGN_IN = re.compile(
    r"(?:(?<![A-Za-z])[SsLl]|(?<=[a-z])[SL])(?:ign|og)(?:ged|ed|ging|ing)?[\s-]?(?:[IiOo]n|into)s?"
    r"(?![a-z])"
)
_PIECE = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\d_a-zA-Z]+")
# What a question itself may hold of an incident's entities.
_MENTIONED = {
    "ip": re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b"),
    "account": re.compile(r"[\w.+-]{1,64}@[\w-]{1,64}\.[\w.]{1,200}"),
    "filehash": re.compile(r"\b(?:[0-9a-fA-F]{64}|[0-9a-fA-F]{40}|[0-9a-fA-F]{32})\b"),
    "process": re.compile(r"\b[\w-]{1,100}\.(?:exe|ps1|bat|cmd|vbs)\b", re.IGNORECASE),
}


def choose_tables(
    catalogue: Catalogue,
    question: str,
    entity_kinds: Collection[str],
    tactics: Collection[str],
    limit: int,
) -> tuple[Table, ...]:
    """Choose at most `limit` tables for a question about an incident, the likeliest first.

    `entity_kinds` and `tactics` are the incident's, as Sentinel spells them. Where nothing of the
    question is known, analysts' usual tables come first, and of them those that hold most.
    """
    text, held = question, set[str]()
    for kind, pattern in _MENTIONED.items():
        text, times = pattern.subn(" ", text)
        held |= {kind} if times else set()
    asked = _words(text) - _name_words(STOP_WORDS)
    kinds = {kind.casefold() for kind in entity_kinds} & ENTITY_COLUMNS.keys()
    shown = {table for tactic in tactics for table in TACTIC_TABLES.get(_folded(tactic), ())}
    named = {word.casefold() for word in re.findall(r"\w+", text)}
    found = [(table, _found(table, asked)) for table in catalogue.tables]
    rarity = _rarity([words for _, words in found])
    known = {name: position for position, name in enumerate(TABLE_WORDS)}

    def score(table: Table, words: Mapping[str, float]) -> float:
        total = sum(weight * rarity[word] for word, weight in words.items())
        # "Alert" and "Event" are tables too, and words of any question.
        if table.name.casefold() in named and len(_PIECE.findall(table.name)) > 1:
            total += NAMED
        names = {column.name for column in table.columns}
        about = {kind for kind in kinds | held if not names.isdisjoint(ENTITY_COLUMNS[kind])}
        total += ENTITY * len(about & kinds) / (len(kinds) or 1) + MENTIONED * len(about & held)
        total += TACTIC if table.name in shown else 0
        total += USUAL if total and table.name in known else 0
        return total * (_EMPTY if table.rows == 0 else 1)

    scores = {table.name: score(table, words) for table, words in found}
    nothing = not any(scores.values())

    def rank(table: Table) -> tuple[float, bool, int, int]:
        common = known.get(table.name, len(known))
        return -scores[table.name], nothing and table.name not in known, -(table.rows or 0), common

    ranked = sorted(catalogue.tables, key=rank)
    return tuple(table for table in ranked[:limit] if nothing or scores[table.name])


def columns_within(tables: Sequence[Table], count: Callable[[str], int], budget: int) -> str:
    """Word tables for a prompt, one line each: `Name(TimeGenerated:datetime, ...) // what it is`.

    Fits `budget` tokens as `count` counts them. The first tables get the larger share; a table
    that would have to be cut below a handful of columns is left out.
    """
    lines: list[str] = []
    left = budget
    for position, table in enumerate(tables):
        line = _line(table, count, left * 2 // (len(tables) - position + 1), left)
        if line and (cost := count(line) + 1) <= left:
            left -= cost
            lines.append(line)
    return "\n".join(lines)


def nearest(name: str, names: Iterable[str], limit: int = 3) -> tuple[str, ...]:
    """The names that come nearest to a misspelt one, whatever their case, the nearest first."""
    spelled = {each.casefold(): each for each in names}
    close = difflib.get_close_matches(name.casefold(), spelled, limit, 0.6)
    return tuple(spelled[each] for each in close)


def _line(table: Table, count: Callable[[str], int], share: int, most: int) -> str:
    """A table's line within its share, or a little over it where that would be too short."""
    described = unmarked(table.description, _DESCRIPTION_CHARS)
    before, after = f"{table.name}(", f") // {described}" if described else ")"
    telling = [column for column in table.columns if column.name not in DULL_COLUMNS]
    columns = sorted(telling or table.columns, key=lambda column: _usefulness(table, column))
    used = count(before) + count(after) + 1
    chosen: list[str] = []
    for column in columns:
        text = f"{column.name}:{column.type}"
        used += count(f"{text}, ")
        if used > (share if len(chosen) >= _FEW else most):
            break
        chosen.append(text)
    if len(chosen) < min(_FEW, len(columns)):
        return ""
    return f"{before}{', '.join(chosen)}{after}"


_TELLING = {name for names in ENTITY_COLUMNS.values() for name in names} | {
    "OperationName", "Operation", "ActionType", "ResultType", "ResultDescription", "EventID",
    "Activity", "Status", "Location", "AppDisplayName", "TargetResources", "Result", "DeviceAction",
    "DestinationPort", "RemotePort", "UserAgent", "AlertName", "AlertSeverity", "Title", "Severity",
    "LogonType", "DeliveryAction", "ThreatTypes", "SyslogMessage", "EventName", "RequestURL",
}  # fmt: skip


def _usefulness(table: Table, column: Column) -> int:
    """The time first, then what names an entity or says what happened, then the rest.

    Sorting is stable: within a rank the workspace's own order stays.
    """
    if column.name == table.time_column:
        return 0
    return 1 if column.name in _TELLING else 2


def _found(table: Table, asked: frozenset[str]) -> Mapping[str, float]:
    """The words of a question that a table has, each with the weight of where it stands."""
    weights: dict[str, float] = {}
    places = [
        (_name_words(table.name), NAME),
        (_name_words(TABLE_WORDS.get(table.name, "")), KNOWN),
    ]
    places += [(_name_words(table.description), DESCRIBED)]
    places += [(_name_words(column.name), COLUMN) for column in table.columns]
    for words, weight in places:
        for word in words & asked:
            weights[word] = max(weights.get(word, 0), weight)
    return weights


def _rarity(found: Sequence[Mapping[str, float]]) -> Mapping[str, float]:
    """How telling a word is, from nearly 0 (in every table) to 1 (in one)."""
    seen, tables = Counter(word for words in found for word in words), len(found)
    return {word: math.log1p(tables / times) / math.log1p(tables) for word, times in seen.items()}


def _words(text: str) -> frozenset[str]:
    """The words of a text or of a name, in lower case and roughly without their endings."""
    plain = _SIGN_IN.sub(" signin ", text)
    return frozenset(_stem(piece.lower()) for piece in _PIECE.findall(plain))


# The workspace's names are read again with every question; the question is not remembered.
_name_words = lru_cache(maxsize=65_536)(_words)


def _stem(word: str) -> str:
    for ending in ("ations", "ation", "ings", "ing", "ies", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 4 and not word.endswith("ss"):
            return word[: -len(ending)]
    return word


def _folded(text: str) -> str:
    return re.sub(r"\W|_", "", text).casefold()
