"""Writes the parts of a query that are ours: literals, an incident's values, the row cap.

What an incident holds is the attacker's to choose. It enters a query only as data, inside string
literals that this module writes, under names that are fixed here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import pairwise

from .incident import Entity
from .query import Token, WrittenQuery
from .query_lexer import lex, returns_rows, statements, unquoted

MAX_VALUES = 30
MAX_VALUE_CHARS = 400
MAX_LIST_CHARS = 1_000

# The names that an incident's values are bound to: which kinds of entity give them, and how.
_LISTS = {
    "accounts": (
        ("account", "{accountName}@{upnSuffix}"),
        ("account", "{ntDomain}\\{accountName}"),
        ("account", "{accountName}"),
        ("mailbox", "{mailboxPrimaryAddress}"),
    ),
    "account_ids": (("account", "{aadUserId}"), ("account", "{sid}")),
    "hosts": (
        ("host", "{hostName}.{dnsDomain}"),
        ("host", "{hostName}"),
        ("host", "{netBiosName}"),
    ),
    "addresses": (("ip", "{address}"),),
    "hashes": (("filehash", "{hashValue}"),),
    "files": (("file", "{fileName}"),),
    "urls": (("url", "{url}"),),
    "domains": (("dnsresolution", "{domainName}"),),
}
_LIVE = re.compile(r":?//|www\.|(?:mailto|tel|sms|javascript|vbscript|data):", re.IGNORECASE)
_FENCE = re.compile(
    r"^[ \t]*(?P<fence>```+|~~~+)[ \t]*(?P<language>\w*)[^\n]*\n(?P<body>.*?)"
    r"(?:^[ \t]*(?P=fence)[ \t]*\r?$|\Z)",
    re.MULTILINE | re.DOTALL,
)
_CLAIM = re.compile(r"checked(?=\s+against)", re.IGNORECASE)
_INLINE = re.compile(r"(`{1,3})(?:(?:kql|kusto)\s)?([^`]+)\1", re.IGNORECASE)


def literal(value: str) -> str:
    r"""Quote a text as one KQL string, whatever it holds.

    Only escapes that KQL and JSON share are written (`\"`, `\\`, `\n`, `\uXXXX`), so the literal
    may also stand inside `dynamic(...)`. Characters that cannot be seen are escaped, and one of
    what makes a web address, so that no client makes a link of it and the query still works.
    """
    return '"' + _LIVE.sub(_dead, "".join(map(_escaped, value))) + '"'


def _dead(found: re.Match[str]) -> str:
    return "".join(f"\\u{ord(char):04x}" if char in ":/." else char for char in found[0])


def _escaped(char: str) -> str:
    return char if char.isprintable() and char not in '"\\' else json.dumps(char)[1:-1]


def inert(query: str) -> str:
    """Write those strings of a query anew in which a client would see a link; the rest stays."""
    for token in reversed(lex(query)):
        if token.kind == "string" and token.text[0] in "@\"'" and _LIVE.search(token.text):
            end = token.start + len(token.text)
            query = query[: token.start] + literal(unquoted(token.text)) + query[end:]
    return query


def entity_names(entities: Sequence[Entity]) -> tuple[str, ...]:
    """The names that can be bound for an incident: those for which it has a value."""
    return tuple(name for name in _LISTS if _values(name, entities))


def entity_lets(entities: Sequence[Entity], query: str) -> str:
    """Write `let` statements for the names that a query uses and does not define itself.

    Each is a dynamic array of strings, of at most `MAX_VALUES` values and about `MAX_LIST_CHARS`
    characters; a comment says how many were left out. Empty where nothing is needed.
    """
    tokens = [token for token in lex(query) if token.kind != "comment"]
    used = {token.text for token in tokens if token.kind == "name"}
    own = {name.text for let, name in pairwise(tokens) if let.text == "let"}
    return "".join(
        _let(name, values)
        for name in _LISTS
        if name in used - own and (values := _values(name, entities))
    )


def _let(name: str, values: Sequence[str]) -> str:
    kept, size = list[str](), 0
    for value in map(literal, values):
        if len(kept) < MAX_VALUES and size + len(value) + 2 <= MAX_LIST_CHARS:
            kept.append(value)
            size += len(value) + 2
    left = len(values) - len(kept)
    note = f" // {left} more left out" if left else ""
    return f"let {name} = dynamic([{', '.join(kept)}]);{note}\n"


def _values(name: str, entities: Sequence[Entity]) -> list[str]:
    found = (
        _filled(template, entity)
        for entity in entities
        for kind, template in _LISTS[name]
        if entity.kind.lower() == kind
    )
    # A value that was cut would match nothing, or the wrong thing.
    return list(dict.fromkeys(value for value in found if 0 < len(value) <= MAX_VALUE_CHARS))


def _filled(template: str, entity: Entity) -> str:
    try:
        return template.format_map(entity.facts)
    except KeyError:
        return ""


def unclaimed(text: str) -> str:
    """Take our word for a query that passed out of a text of a model's, which cannot say that."""
    return _CLAIM.sub("compared", text)


def as_markdown(query: WrittenQuery, kql: str = "") -> str:
    """A query as it goes on the incident and into the history: what it does, and its text.

    `kql` stands in for the whole text where that is not to be shown.
    """
    kql = kql or query.kql
    fence = "````" if "```" in kql else "```"
    assumed = unclaimed(" ".join(query.assumptions))
    lines = [unclaimed(query.explanation), f"{fence}kql\n{kql}\n{fence}"]
    lines += [f"Assumed: {assumed}" if assumed else ""]
    lines += [f"Not accepted by the KQL checker: {' '.join(query.problems)}"] * bool(query.problems)
    return "\n\n".join(line for line in lines if line)


def with_row_cap(query: str, rows: int) -> str:
    """Append `take` to every statement that returns rows, before a closing `render`.

    Left alone: a query that cannot be read, and a statement with `fork` or `facet`, which end a
    query; the service's own limit holds for those.
    """
    tokens = lex(query)
    if any(token.kind == "unknown" for token in tokens):
        return query
    for statement in reversed([each for each in statements(tokens) if returns_rows(each)]):
        pipes = _operators(statement)
        if any(name in ("fork", "facet") for _, name in pipes):
            continue
        if pipes and pipes[-1][1] == "render":
            at, added = pipes[-1][0], f"| take {rows}\n"
        else:
            at, added = statement[-1].start + len(statement[-1].text), f"\n| take {rows}"
        query = query[:at] + added + query[at:]
    return query


def _operators(statement: Sequence[Token]) -> list[tuple[int, str]]:
    """Where the pipes outside brackets stand, and the operator after each."""
    depth, found = 0, list[tuple[int, str]]()
    for token, after in pairwise(statement):
        depth += (token.text in "([{") - (token.text in ")]}")
        if token.text == "|" and depth == 0:
            found.append((token.start, after.text.lower()))
    return found


def from_answer(text: str, *, fenced: bool = False) -> str:
    """Take the query out of a model's answer: its first fenced block of KQL, else all of it.

    With `fenced` an answer without a fence holds no query: nothing comes back.
    """
    blocks = list(_FENCE.finditer(text))
    named = [each for each in blocks if each["language"].lower() in ("kql", "kusto")]
    for block in named or blocks:
        return block["body"].strip()
    if fenced:
        return ""
    plain = text.strip().lstrip("\ufeff").strip()
    inline = _INLINE.fullmatch(plain)
    return inline[2].strip() if inline else plain
