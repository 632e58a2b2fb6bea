"""The desk's own playbook: what each ATT&CK tactic means here, and what to do about it first.

It answers when the model cannot, and it is data: one YAML file a tactic, one KQL file a query.
"""

from __future__ import annotations

import string
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, cast

import yaml

from bot.errors import SettingsError
from prompts.reading import read_yaml

from . import queries as kql
from .queries import PlaybookQuery

MAX_TITLE_CHARS = 100
MAX_DESCRIPTION_CHARS = 300

_PACKAGE = Path(__file__).parent
_GENERAL = "General"
_SHOWN = 2

# What a task's text may name, the Sentinel entity kinds that fill it, and what is said for none.
_PLACES = {
    "accounts": (("account", "mailbox"), "the accounts involved"),
    "hosts": (("host",), "the hosts involved"),
    "addresses": (("ip", "url", "dns", "dnsresolution"), "the addresses involved"),
    "files": (("file", "filehash", "process"), "the files involved"),
}


@dataclass(frozen=True, slots=True)
class PlaybookTask:
    """One step of an investigation.

    In the description `$accounts`, `$hosts`, `$addresses` and `$files` await an incident's names.
    """

    title: str
    description: str

    def filled(self, entities: Iterable[tuple[str, str]]) -> PlaybookTask:
        """Put in the names of an incident's entities, given as (Sentinel's kind, name)."""
        named = list(entities)
        words = {place: _names(named, *rule) for place, rule in _PLACES.items()}
        return PlaybookTask(self.title, string.Template(self.description).substitute(words))


@dataclass(frozen=True, slots=True)
class Tactic:
    """One tactic, under the name that Sentinel spells it with.

    `id` is MITRE's number, empty where there is none. `urgency` orders the steps of an incident
    with several tactics: 1 cannot wait, 5 can.
    """

    id: str
    name: str
    title: str
    description: str
    first_questions: tuple[str, ...]
    tasks: tuple[PlaybookTask, ...]
    urgency: int = 3


@dataclass(frozen=True, slots=True)
class Playbook:
    """All tactics, and `general`: the steps for an incident of which no tactic is known."""

    tactics: tuple[Tactic, ...]
    general: Tactic
    queries: tuple[PlaybookQuery, ...] = ()

    def __iter__(self) -> Iterator[Tactic]:
        return iter(self.tactics)

    def find(self, name: str) -> Tactic | None:
        """Look a tactic up by name, title or id, whatever the case and the spaces; or None."""
        wanted = _key(name)
        for tactic in self.tactics:
            if wanted and wanted in (_key(tactic.name), _key(tactic.title), _key(tactic.id)):
                return tactic
        return None

    def known(self, names: Iterable[str]) -> tuple[Tactic, ...]:
        """The tactics of an incident that the playbook has, in the incident's order, once each."""
        found = (self.find(name) for name in names)
        return tuple(dict.fromkeys(tactic for tactic in found if tactic))

    def tasks(self, names: Iterable[str]) -> tuple[PlaybookTask, ...]:
        """The steps for these tactics: each tactic's first one, then the second ones, and so on.

        The most urgent tactic comes first. Where no tactic is known these are the general steps.
        """
        tactics = sorted(self.known(names), key=lambda each: each.urgency) or [self.general]
        rounds = zip_longest(*(tactic.tasks for tactic in tactics))
        return tuple(dict.fromkeys(task for each in rounds for task in each if task))

    def queries_for(
        self,
        tactics: Iterable[str],
        entity_names: Collection[str],
        tables: Collection[str] | None = None,
    ) -> tuple[PlaybookQuery, ...]:
        """The queries that fit an incident: the most urgent tactic's first, the general ones last.

        All names that a query uses are among `entity_names`, and all its tables among `tables`
        unless that is None, for not known. Of one tactic, those it fits best come first.
        """
        urgent = sorted(self.known(tactics), key=lambda each: each.urgency)
        order = [*(tactic.name for tactic in urgent), _GENERAL]

        def rank(query: PlaybookQuery) -> tuple[int, int]:
            return min(
                (order.index(name), at) for at, name in enumerate(query.tactics) if name in order
            )

        fitting = (
            query
            for query in self.queries
            if not set(order).isdisjoint(query.tactics)
            and set(entity_names).issuperset(query.entities)
            and (tables is None or set(tables).issuperset(query.tables))
        )
        return tuple(sorted(fitting, key=rank))


def playbook(override: Path | None = None) -> Playbook:
    """Read the playbook, once, at start (blocking).

    A file in the folder `playbook` under `override` replaces the tactic it names, or adds one; a
    file in its folder `kql` replaces the query of the same file name, or adds one. Raises
    SettingsError with every problem of every file.
    """
    problems: list[str] = []
    tactics = _read(_PACKAGE, problems)
    queries = kql.read(_PACKAGE / "kql", problems)
    if override is not None:
        tactics |= _read(override / "playbook", problems)
        queries |= kql.read(override / "playbook" / "kql", problems)
    for query in queries.values():
        for name in query.tactics:
            if name not in tactics:
                problems.append(f"playbook/kql/{query.name}.kql: there is no tactic {name}")
    if problems:
        raise SettingsError(problems)
    general = tactics.pop(_GENERAL)
    return Playbook(tuple(tactics.values()), general, tuple(queries.values()))


def _read(folder: Path, problems: list[str]) -> dict[str, Tactic]:
    tactics: dict[str, Tactic] = {}
    for path in sorted(folder.glob("*.yaml")):
        try:
            tactic = _parse(read_yaml(path.read_text(encoding="utf-8")))
        except (ValueError, OSError, yaml.YAMLError) as error:
            problems.append(f"playbook/{path.name}: {' '.join(str(error).split())}")
        else:
            tactics[tactic.name] = tactic
    return tactics


def _parse(data: object) -> Tactic:
    if not isinstance(data, dict):
        raise ValueError("is not a tactic")
    fields = cast(dict[str, Any], data)
    if fields.get("urgency", 3) not in range(1, 6):
        raise ValueError("urgency is a number from 1 to 5")
    try:
        tasks = tuple(
            PlaybookTask(str(task["title"]), " ".join(str(task["description"]).split()))
            for task in fields["tasks"]
        )
        tactic = Tactic(
            str(fields.get("id") or ""),
            str(fields["name"]),
            str(fields["title"]),
            " ".join(str(fields["description"]).split()),
            tuple(str(question) for question in fields["first_questions"]),
            tasks,
            fields.get("urgency", 3),
        )
    except KeyError as error:
        raise ValueError(f"{error.args[0]} is missing") from error
    except TypeError as error:
        raise ValueError("tasks is a list of title and description") from error
    if not isinstance(fields["first_questions"], list):
        raise ValueError("first_questions and tasks are lists")
    for task in tasks:
        _check(task)
    return tactic


def _check(task: PlaybookTask) -> None:
    for label, text, limit in (
        ("title", task.title, MAX_TITLE_CHARS),
        ("description", task.description, MAX_DESCRIPTION_CHARS),
    ):
        if not 0 < len(text) <= limit:
            raise ValueError(f"a task's {label} has 1 to {limit} characters: {text[:40]}")
    template = string.Template(task.description)
    if not template.is_valid() or set(template.get_identifiers()) - set(_PLACES):
        raise ValueError(f"a description may name ${', $'.join(_PLACES)}: {task.title}")


def _names(entities: Iterable[tuple[str, str]], kinds: tuple[str, ...], otherwise: str) -> str:
    names = list(dict.fromkeys(name[:60] for kind, name in entities if kind.lower() in kinds))
    if not names:
        return otherwise
    shown = names[:_SHOWN]
    if len(names) > _SHOWN:
        shown.append(f"{len(names) - _SHOWN} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _key(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())
