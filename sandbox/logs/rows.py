"""Turns the batches of the YAML files into rows.

A file holds tables, a table holds batches, and a batch stands for one row or many. Keys in lower
case say when, how often and about whom; every other key is a column:

    at, until   times before now, such as -3h41m; many rows lie between the two
    rows        how many rows (default 1)
    spread      `even` for equal distances with a little jitter (default: at random)
    who         an account, or in turn `everyone` or the `colleagues` whom no incident names
                (default: anyone at random)
    device      a device, `a server` at random, or `each server` in turn (default: the account's)
    one_of      fragments of rows, one of which is chosen by `weight` (default 1) for each row
    series      batches of one series agree on time, account and choice, row by row

In text `{upn}`, `{user}`, `{first}`, `{display}`, `{title}`, `{department}`, `{object_id}`,
`{sid}`, `{city}`, `{country}`, `{ip}`, `{asn}`, `{home_ip}` and `{own_ip}` describe the account,
`{host}`, `{fqdn}`, `{host_ip}`, `{device_id}` and `{device_guid}` the device, `{at}` is the row's
time, `{n}` counts from 0 (`{mod31}` by 31), and `{guid}`, `{guid2}`, `{token}`, `{sha256}` and
`{number}` differ from row to row. In columns of numbers `20..90` is a number between the two; in
columns other than dynamic ones a list is a choice. What a batch leaves out is in `fill.yaml`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from hashlib import sha256
from typing import Any, cast

from ..cases import WORKSPACE_ID, stamp
from .people import Company, Host, Person

Row = dict[str, Any]
Types = Mapping[str, str]

_AGO = re.compile(r"-(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_CONTROL = {"at", "until", "rows", "spread", "who", "device", "one_of", "series", "weight"}


@dataclass(frozen=True, slots=True)
class Maker:
    """What every row is made from; `types` are the table's columns, `fill` its usual values."""

    company: Company
    now: datetime
    seed: str

    def rows(
        self, table: str, types: Types, fill: Mapping[str, Any], batches: Sequence[Row], origin: str
    ) -> Iterator[Row]:
        """Make one table's rows of one file; raises ValueError at a column it does not have."""
        for index, batch in enumerate(batches):
            columns = {name: value for name, value in batch.items() if name not in _CONTROL}
            if unknown := columns.keys() - types.keys():
                raise ValueError(f"{origin}: {table} has no column {', '.join(sorted(unknown))}")
            usual = {**fill, **columns}
            choices = [
                _Fragment({**usual, **fragment}, types) for fragment in batch.get("one_of", [usual])
            ]
            series = f"{self.seed}/{batch.get('series') or f'{origin}/{table}/{index}'}"
            for n in range(batch.get("rows", 1)):
                yield self._row(table, batch, choices, n, f"{series}/{n}")

    def _row(self, table: str, batch: Row, choices: Sequence[_Fragment], n: int, key: str) -> Row:
        rng = _Lazy(key)
        at = stamp(self._time(batch, n, rng))
        who = self._who(batch, n, rng)
        choice = choices[0]
        if len(choices) > 1:
            weights = [each.weight for each in choices]
            choice = rng.get().choices(choices, weights)[0]
        host = self._host(batch, who, n, rng)
        words = _Words(who, host, at=at, n=n, key=key)
        row = {name: _value(value, words, rng) for name, value in choice.varied}
        return {
            "TenantId": WORKSPACE_ID,
            "Type": table,
            **choice.constant,
            **row,
            "TimeGenerated": at,
        }

    def _time(self, batch: Row, n: int, rng: _Lazy) -> datetime:
        start = self.now - ago(batch["at"])
        if "until" not in batch:
            return start
        length = self.now - ago(batch["until"]) - start
        rows: int = batch.get("rows", 1)
        if batch.get("spread") != "even":
            return start + length * rng.get().random()
        jitter = timedelta(milliseconds=n * 1_373 % 3_000 - 1_500) if 0 < n < rows - 1 else None
        return start + length * (n / max(rows - 1, 1)) + (jitter or timedelta())

    def _who(self, batch: Row, n: int, rng: _Lazy) -> Person:
        everyone = self.company.everyone
        match batch.get("who"):
            case None:
                return rng.get().choice(everyone[:-2])
            case "everyone":
                return everyone[n % len(everyone)]
            case "colleagues":
                return self.company.colleagues[n % len(self.company.colleagues)]
            case name:
                return self.company.accounts[name]

    def _host(self, batch: Row, who: Person, n: int, rng: _Lazy) -> Host:
        servers = self.company.servers
        match batch.get("device"):
            case None:
                return who.host
            case "a server":
                return rng.get().choice(servers)
            case "each server":
                return servers[n % len(servers)]
            case name:
                return self.company.hosts[name]


@cache
def ago(text: str) -> timedelta:
    """Read how long before now a time such as `-1d2h` is."""
    found = _AGO.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is not a time before now")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


class _Lazy:
    """A generator of random numbers that is made only when it is asked for: seeding is slow."""

    def __init__(self, key: str) -> None:
        self._key, self._made = key, cast("random.Random | None", None)

    def get(self) -> random.Random:
        self._made = self._made or random.Random(self._key)
        return self._made


class _Fragment:
    """A batch's columns, those that are the same in every row apart from those that vary."""

    def __init__(self, columns: Row, types: Types) -> None:
        self.weight = int(columns.get("weight", 1))
        self.constant: Row = {}
        self.varied: list[tuple[str, Any]] = []
        for name, value in columns.items():
            if name not in types:
                continue
            prepared = _prepared(value, types[name])
            if _varies(prepared):
                self.varied.append((name, prepared))
            else:
                self.constant[name] = prepared


@dataclass(frozen=True, slots=True)
class _Range:
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class _Choice:
    items: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class _Text:
    template: str


def _prepared(value: Any, type: str) -> Any:
    if isinstance(value, str):
        if type in ("int", "long", "real") and (found := _RANGE.fullmatch(value)):
            return _Range(int(found[1]), int(found[2]))
        return _Text(value) if "{" in value else value
    if isinstance(value, list):
        items = tuple(_prepared(item, type) for item in cast(list[Any], value))
        return list(items) if type == "dynamic" else _Choice(items)
    if isinstance(value, dict):
        return {key: _prepared(item, type) for key, item in cast(Row, value).items()}
    return value


def _varies(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_varies, cast(list[Any], value)))
    if isinstance(value, dict):
        return any(map(_varies, cast(Row, value).values()))
    return isinstance(value, _Range | _Choice | _Text)


def _value(value: Any, words: _Words, rng: _Lazy) -> Any:
    match value:
        case _Text(template):
            return template.format_map(words)
        case _Range(low, high):
            return rng.get().randint(low, high)
        case _Choice(items):
            return _value(rng.get().choice(items), words, rng)
        case list():
            return [_value(item, words, rng) for item in cast(list[Any], value)]
        case dict():
            return {key: _value(item, words, rng) for key, item in cast(Row, value).items()}
        case _:
            return value


_WORDS: Mapping[str, Callable[[_Words], Any]] = {
    "first": lambda words: words.who.display.partition(" ")[0],
    "own_ip": lambda words: words.who.host.ip,
    "host": lambda words: words.host.name,
    "host_ip": lambda words: words.host.ip,
    "guid": lambda words: words.digest("guid"),
    "guid2": lambda words: words.digest("guid2"),
    "token": lambda words: words.digest("token").replace("-", "")[:22],
    "sha256": lambda words: sha256(words.key.encode()).hexdigest(),
    "number": lambda words: int(words.digest("number")[:4], 16) + 1_000,
    "mod31": lambda words: words["n"] % 31 + 1,
}


class _Words(dict[str, Any]):
    """The words a text may name, worked out only when one does."""

    def __init__(self, who: Person, host: Host, *, at: str, n: int, key: str) -> None:
        super().__init__(at=at, n=n)
        self.who, self.host, self.key = who, host, key

    def digest(self, name: str) -> str:
        it = sha256(f"{self.key}/{name}".encode()).hexdigest()
        return f"{it[:8]}-{it[8:12]}-4{it[12:15]}-a{it[15:18]}-{it[18:30]}"

    def __missing__(self, name: str) -> Any:
        if name in _WORDS:
            value = _WORDS[name](self)
        elif name in Person.__dataclass_fields__:
            value = getattr(self.who, name)
        else:
            value = getattr(self.host, name)
        self[name] = value
        return value
