"""The playbook's queries: KQL that is known to be right, for when a model's is not, or is not had.

A file `kql/NAME.kql` starts with lines `// key: value` and goes on with one query:

    // title: what an analyst sees on a button or a card
    // purpose: one sentence that explains the query
    // tactics: the tactics it is for, the one it fits best first; General for any incident
    // tables: all tables it reads
    // entities: the names it uses, which stand for an incident's values; or none

The query uses those names as dynamic arrays of strings and does not define them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

# What an incident's values are bound to, as in `bot.domain.query_text`.
ENTITY_NAMES = (
    "accounts",
    "account_ids",
    "hosts",
    "addresses",
    "hashes",
    "files",
    "urls",
    "domains",
)
MAX_QUERY_CHARS = 10_000
MAX_PURPOSE_CHARS = 200
MAX_TITLE_CHARS = 60

_KEYS = ("title", "purpose", "tactics", "tables", "entities")
_NONE = "none"


@dataclass(frozen=True, slots=True)
class PlaybookQuery:
    """A vetted query; `name` is its file's, `entities` are the names that `kql` leaves open."""

    name: str
    title: str
    purpose: str
    tactics: tuple[str, ...]
    tables: tuple[str, ...]
    entities: tuple[str, ...]
    kql: str


def read(folder: Path, problems: list[str]) -> dict[str, PlaybookQuery]:
    """Read a folder's queries by name (blocking); what is wrong is added to `problems`."""
    queries: dict[str, PlaybookQuery] = {}
    for path in sorted(folder.glob("*.kql")):
        try:
            query, wrong = _parse(path.stem, path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            wrong = [f"cannot be read: {error}"]
        else:
            queries[query.name] = query
        problems += [f"playbook/kql/{path.name}: {each}" for each in wrong]
    return queries


def _parse(name: str, source: str) -> tuple[PlaybookQuery, list[str]]:
    lines = source.strip().splitlines()
    head = list(takewhile(lambda line: line.startswith("//"), lines))
    pairs = (line.removeprefix("//").partition(":") for line in head)
    header = {key.strip(): value.strip() for key, _, value in pairs}
    entities = () if header.get("entities") == _NONE else _listed(header.get("entities", ""))
    query = PlaybookQuery(
        name,
        header.get("title", ""),
        header.get("purpose", ""),
        _listed(header.get("tactics", "")),
        _listed(header.get("tables", "")),
        entities,
        "\n".join(lines[len(head) :]).strip(),
    )
    return query, [*_wrong_header(header), *_wrong_query(query)]


def _wrong_header(header: dict[str, str]) -> list[str]:
    wrong = [f"{key} is missing" for key in _KEYS if not header.get(key)]
    keys = ", ".join(_KEYS)
    return wrong + [
        f"the header has {key or 'a line'} but knows only {keys}"
        for key in sorted(header.keys() - _KEYS)
    ]


def _wrong_query(query: PlaybookQuery) -> list[str]:
    wrong = [
        f"entities may name {', '.join(ENTITY_NAMES)} or be {_NONE}, not {name}"
        for name in query.entities
        if name not in ENTITY_NAMES
    ]
    for label, text, limit in (
        ("title", query.title, MAX_TITLE_CHARS),
        ("purpose", query.purpose, MAX_PURPOSE_CHARS),
        ("query", query.kql, MAX_QUERY_CHARS),
    ):
        if len(text) > limit:
            wrong.append(f"the {label} has more than {limit:,} characters")
    if not query.kql:
        wrong.append("there is no query below the header")
    return wrong


def _listed(text: str) -> tuple[str, ...]:
    return tuple(each.strip() for each in text.split(",") if each.strip())
