"""Prints the audit for an operator, and says whether its chain holds. It reads the store alone."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TextIO, cast

from .domain.chain import Break, Ends, Link, Mark, break_at_end, break_between, break_with
from .errors import StoreError
from .ports import AuditItem, Trail
from .records import audit_item_of

See = Callable[[Link, AuditItem | None], None]
_PAGE = 1_000
_MARK = re.compile(r"([1-9][0-9]{0,17}):([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to print: `incident` is a number or a resource name, empty for all."""

    incident: str = ""
    since: datetime | None = None
    as_json: bool = False
    verify_only: bool = False
    known: Mark | None = None

    def shows(self, item: AuditItem | None) -> bool:
        """Say whether an item is one of those; one that cannot be read may be."""
        if self.verify_only or item is None:
            return not self.verify_only
        if self.since and item.at < self.since:
            return False
        ref = item.incident
        named = (str(item.incident_number or ""), ref.id.lower() if ref else "")
        return not self.incident or self.incident.lower() in named


@dataclass(slots=True)
class _Followed:
    """How far the chain was followed, and the first place where it does not hold."""

    last: Mark
    noted: list[Mark] = field(default_factory=list[Mark])
    broken: Break | None = None

    def over(self, link: Link, swept: Mark) -> None:
        """Take one link; `swept` is how far the sweep has come meanwhile."""
        if swept.seq > self.last.seq:
            self.last = swept
        found = break_between(self.last, link)
        for mark in self.noted:
            found = found or break_with(mark, link)
        self.broken = self.broken or found
        self.last = link.mark


async def report(trail: Trail, wanted: Wanted, out: TextIO, errors: TextIO) -> bool:
    """Print what is wanted and then the verdict, which goes to `errors` below JSON.

    True where the chain holds. Raises StoreError.
    """
    shown = 0

    def show(link: Link, item: AuditItem | None) -> None:
        nonlocal shown
        if wanted.shows(item):
            shown += 1
            print(_as_json(link) if wanted.as_json else _as_text(link, item), file=out)

    holds, verdict = await follow(trail, wanted.known, show)
    if shown and not wanted.as_json:
        print(file=out)
    print(verdict, file=errors if wanted.as_json else out)
    return holds


async def follow(trail: Trail, known: Mark | None, see: See) -> tuple[bool, str]:
    """Let `see` see each item in order; whether the chain holds, and a verdict that says so.

    An item that cannot be read is None. Raises StoreError.
    """
    ends = await trail.ends()
    noted = [mark for mark in (ends.head, known) if mark]
    followed = _Followed(ends.anchor, noted)
    while links := await trail.links(followed.last.seq, _PAGE):
        swept = (await trail.ends()).anchor
        for link in links:
            followed.over(link, swept)
            see(link, _read(link))
    broken = followed.broken
    for mark in noted:
        broken = broken or break_at_end(followed.last, mark)
    return broken is None, _broken(broken) if broken else _holds(ends, known, followed.last)


def _broken(found: Break) -> str:
    return f"The chain is broken at item {found.seq}. {found.sentence}"


def _holds(ends: Ends, known: Mark | None, last: Mark) -> str:
    if last.seq == ends.anchor.seq:
        count = "no item"
    else:
        count = f"items {ends.anchor.seq + 1} to {last.seq}"
    lines = [f"The chain holds: {count}."]
    if ends.anchor.seq:
        lines.append(f"Up to item {ends.anchor.seq}, they were older than AUDIT_DAYS and deleted.")
    if known and known.seq <= ends.anchor.seq:
        lines.append(f"Item {known.seq}, which you noted, is one of them.")
    elif known:
        lines.append(f"Item {known.seq} is the one that you noted.")
    if last.seq:
        lines.append(
            f"The head is {last}\nNote it elsewhere, and give it to --head another day: it shows "
            "whether all up to there is still what it is now."
        )
    return " ".join(lines)


def _as_json(link: Link) -> str:
    """One line, ASCII only, with all that the hash is made of."""
    return json.dumps(
        {"seq": link.seq, "previous": link.previous, "hash": link.hash, "item": link.item}
    )


def _as_text(link: Link, item: AuditItem | None) -> str:
    """Two lines: when, who, what and where; then all that was kept about it."""
    if item is None:
        return f"{link.seq:>6}  This item cannot be read."
    ref, number = item.incident, item.incident_number
    head = [
        f"{item.at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
        f"{item.analyst_name} ({item.analyst_id})" if item.analyst_id else "Casemate",
        item.action,
        f"incident {number}" if number else "",
        f"{ref.workspace}/{ref.id}" if ref else "",
        f"tenant {item.tenant}" if item.tenant else "",
    ]
    detail = [f"{name} {_value(value)}" for name, value in item.detail.items() if value != ""]
    lines = [f"{link.seq:>6}  {_joined(head)}", f"{'':>8}{_joined(detail)}"]
    return "\n".join(lines if detail else lines[:1])


def _value(value: Any) -> str:
    """A text as it is; a list, such as the evidence, by its length: JSON has the whole."""
    if isinstance(value, list):
        return f"({len(cast(list[Any], value))})"
    return value if isinstance(value, str) else json.dumps(value)


def _joined(parts: Sequence[str]) -> str:
    return printable(" · ".join(filter(None, parts)))


def _read(link: Link) -> AuditItem | None:
    """The item, or None where somebody made something else of it."""
    try:
        item = audit_item_of({**link.item})
    except StoreError:
        return None
    texts: list[Any] = [item.tenant, item.action, item.analyst_id, item.analyst_name]
    texts += [item.incident.workspace, item.incident.id] if item.incident else []
    is_item = item.at.tzinfo is not None and all(isinstance(each, str) for each in texts)
    return item if is_item and isinstance(cast(Any, item.detail), dict) else None


def printable(text: str) -> str:
    """Names and queries are not to steer a terminal, or to turn its text around."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--incident", default="", metavar="N", help="its number or resource name")
    parser.add_argument("--since", type=moment, metavar="TIME", help="UTC: 2026-11-24T09:00")
    parser.add_argument("--json", action="store_true", help="one item a line, with its hashes")
    parser.add_argument("--verify", action="store_true", help="print no items")
    parser.add_argument("--head", type=_mark, metavar="N:HASH", help="a head that was noted before")
    parser.add_argument("--file", default="", help="a SQLite store, instead of the settings' own")


def wanted(chosen: argparse.Namespace) -> Wanted:
    """What the arguments ask for."""
    return Wanted(chosen.incident, chosen.since, chosen.json, chosen.verify, chosen.head)


def moment(text: str) -> datetime:
    """Read a moment from the command line; without a time zone it is UTC."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError("write it like 2026-11-24 or 2026-11-24T09:00") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _mark(text: str) -> Mark:
    found = _MARK.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError("write it as it was printed: a number, a colon, the hash")
    return Mark(int(found[1]), found[2])


async def run(trail: Trail, chosen: Wanted) -> int:
    """Print to the terminal; 1 where the chain is broken."""
    return 0 if await report(trail, chosen, sys.stdout, sys.stderr) else 1
