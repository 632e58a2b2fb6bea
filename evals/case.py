"""Reads the evaluation set: one folder a case, which somebody who knows incidents can write.

`docs/evals.md` says what may stand in a `case.yaml`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml

from bot.ports import JsonObject
from evals.language import LANGUAGES
from prompts.reading import read_yaml

CASES = Path(__file__).with_name("cases")


class CaseError(Exception):
    """Cases that cannot be run; the text says what is wrong with each, a line a problem."""


@dataclass(frozen=True, slots=True)
class Query:
    """What a query must do: read these tables, and find these values among its rows."""

    reads: tuple[str, ...] = ()
    finds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """What is said about an incident, and what makes the answer a good one.

    `earlier` is questions and their answers. `incident` numbers one of the sandbox's, or the one
    that `own` describes as `sandbox/incidents/*.yaml` does. `needs_model` is the reason why the
    sandbox's rules cannot pass it.
    """

    name: str
    about: str
    say: str
    incident: int
    own: JsonObject | None = None
    earlier: tuple[tuple[str, str], ...] = ()
    must: tuple[str, ...] = ()
    must_not: tuple[str, ...] = ()
    cites: tuple[str, ...] = ()
    language: str = ""
    at_most: int = 0
    query: Query | None = None
    needs_model: str = ""


def pattern(wanted: str) -> re.Pattern[str]:
    """How a text of a case is looked for: as it stands, or between two slashes as an expression."""
    if len(wanted) > 2 and wanted.startswith("/") and wanted.endswith("/"):
        return re.compile(wanted[1:-1], re.IGNORECASE)
    return re.compile(re.escape(" ".join(wanted.split())), re.IGNORECASE)


def read_cases(folder: Path = CASES) -> tuple[Case, ...]:
    """Read all cases, by name (blocking). Raises CaseError with every problem of every case."""
    problems: list[str] = []
    cases: list[Case] = []
    for path in sorted(folder.glob("*/case.yaml")):
        reading = _Reading(path.parent.name)
        try:
            cases.append(reading.case(path.parent))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            reading.wrong(" ".join(str(error).split()))
        problems += reading.problems
    numbers = [case.incident for case in cases if case.own]
    problems += [f"incident {n} is described twice" for n in sorted({*_twice(numbers)})]
    if not cases and not problems:
        problems.append(f"{folder} holds no case")
    if problems:
        raise CaseError("\n".join(problems))
    return tuple(cases)


def _twice(numbers: list[int]) -> Iterable[int]:
    return (number for number in numbers if numbers.count(number) > 1)


@dataclass(slots=True)
class _Reading:
    """One case's file, and what is wrong with it."""

    name: str
    problems: list[str] = field(default_factory=list[str])

    def wrong(self, what: str) -> None:
        self.problems.append(f"{self.name}: {what}")

    def case(self, folder: Path) -> Case:
        data = self._object(read_yaml((folder / "case.yaml").read_text("utf-8")), "case.yaml")
        beside = folder / "incident.yaml"
        own = read_yaml(beside.read_text("utf-8")) if beside.is_file() else None
        asked = data.pop("query", None)
        case = Case(
            name=self.name,
            about=self._text(data, "about", needed=True),
            say=self._text(data, "say", needed=True),
            incident=self._incident(data, own),
            own=own,
            earlier=tuple(self._earlier(data)),
            must=self._patterns(data, "must"),
            must_not=self._patterns(data, "must_not"),
            cites=self._patterns(data, "cites"),
            language=self._text(data, "language"),
            at_most=self._number(data, "at_most"),
            query=None if asked is None else self._query(asked),
            needs_model=self._text(data, "needs_model"),
        )
        if case.language not in ("", *LANGUAGES):
            self.wrong(f"language is one of {', '.join(LANGUAGES)}")
        if not (case.must or case.query):
            self.wrong("it needs `must` or `query`: an answer that says nothing would pass")
        self._nothing_else(data, "")
        return case

    def _query(self, asked: object) -> Query:
        data = self._object(asked, "query")
        query = Query(self._texts(data, "reads"), self._patterns(data, "finds"))
        self._nothing_else(data, "query.")
        return query

    def _incident(self, data: JsonObject, own: object) -> int:
        number = self._number(data, "incident")
        if own is None:
            if not number:
                self.wrong("it needs `incident`, or an incident.yaml beside it")
            return number
        incident = self._object(own, "incident.yaml")
        described = incident.get("number")
        try:
            json.dumps(incident)
        except TypeError:
            self.wrong("a time in incident.yaml stands in quotes")
        if number or not isinstance(described, int):
            self.wrong("an incident.yaml carries the `number`, and case.yaml none")
            return 0
        return described

    def _earlier(self, data: JsonObject) -> Iterable[tuple[str, str]]:
        for each in self._list(data, "earlier"):
            pair = self._object(each, "earlier")
            yield self._text(pair, "question", needed=True), self._text(pair, "answer", needed=True)
            self._nothing_else(pair, "earlier.")

    def _patterns(self, data: JsonObject, name: str) -> tuple[str, ...]:
        texts = self._texts(data, name)
        for each in texts:
            try:
                pattern(each)
            except re.error as error:
                self.wrong(f"{name}: {each} is no regular expression: {error}")
        return texts

    def _texts(self, data: JsonObject, name: str) -> tuple[str, ...]:
        listed = self._list(data, name)
        if not all(isinstance(each, str) and each.strip() for each in listed):
            self.wrong(f"{name} is a list of texts; a number stands in quotes")
        return tuple(str(each) for each in listed)

    def _list(self, data: JsonObject, name: str) -> list[Any]:
        value = data.pop(name, [])
        if not isinstance(value, list):
            self.wrong(f"{name} is a list")
            return []
        return cast(list[Any], value)

    def _text(self, data: JsonObject, name: str, *, needed: bool = False) -> str:
        value = data.pop(name, "")
        if not isinstance(value, str):
            self.wrong(f"{name} is a text")
            return ""
        if needed and not value.strip():
            self.wrong(f"it needs `{name}`")
        return value.strip()

    def _number(self, data: JsonObject, name: str) -> int:
        value = data.pop(name, 0)
        if type(value) is not int or value < 0:
            self.wrong(f"{name} is a whole number")
            return 0
        return value

    def _object(self, value: object, what: str) -> JsonObject:
        if isinstance(value, dict):
            return {str(key): each for key, each in cast(dict[Any, Any], value).items()}
        self.wrong(f"{what} holds names and values")
        return {}

    def _nothing_else(self, left: JsonObject, prefix: str) -> None:
        for name in left:
            self.wrong(f"there is nothing called `{prefix}{name}`")
