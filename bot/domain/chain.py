"""Chains the audit's items by hash, so that a change, a gap, a deletion or a swap shows.

A link's hash covers its number, the hash before it and its item. This shows what was altered by
accident, or by somebody who did not work out every later hash anew. Whoever can write the store can
do that, or cut items off the end together with the head: only a head that was noted elsewhere, as
in a log that they cannot write, shows it then. What was never recorded leaves no trace.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Mark:
    """A point in the chain: a sequence number and the hash there; 0 is before the first item."""

    seq: int = 0
    hash: str = ""

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


@dataclass(frozen=True, slots=True)
class Link:
    """One item in its place; `item` is as JSON holds it."""

    seq: int
    previous: str
    hash: str
    item: Mapping[str, Any]

    @property
    def mark(self) -> Mark:
        """The point that the chain has reached with this link."""
        return Mark(self.seq, self.hash)


@dataclass(frozen=True, slots=True)
class Ends:
    """Where a chain begins and ends: `anchor` is the last item that was swept, 0 for none."""

    anchor: Mark = Mark()
    head: Mark = Mark()


@dataclass(frozen=True, slots=True)
class Break:
    """The first number at which a chain does not hold, and a sentence that says what is wrong."""

    seq: int
    sentence: str


def linked(before: Mark, item: Mapping[str, Any]) -> Link:
    """Put an item behind `before`."""
    seq = before.seq + 1
    return Link(seq, before.hash, _hash(seq, before.hash, item), item)


def break_between(before: Mark, link: Link) -> Break | None:
    """Say why a link does not follow on `before`; None where it does."""
    due = before.seq + 1
    if link.seq > due:
        through = f" to {link.seq - 1}" if link.seq > due + 1 else ""
        what = f"Items {due}{through} are" if through else f"Item {due} is"
        return Break(due, f"{what} missing.")
    if link.seq < due:
        return Break(due, f"Item {link.seq} stands where item {due} should.")
    if link.hash != _hash(link.seq, link.previous, link.item):
        return Break(due, f"Item {due} was changed: its hash is that of another text.")
    if link.previous != before.hash:
        return Break(due, f"Item {due} does not follow on what is before it now.")
    return None


def break_at_end(last: Mark, head: Mark) -> Break | None:
    """Say why a chain that was followed up to `last` has lost its end; None where it has not."""
    if last.seq >= head.seq:
        return None
    return Break(last.seq + 1, f"Items after {last.seq} are missing: {head.seq} were recorded.")


def break_with(known: Mark, link: Link) -> Break | None:
    """Say that a link is another one than at its place was noted; None where it is the same."""
    if link.seq != known.seq or link.hash == known.hash:
        return None
    return Break(link.seq, f"Item {link.seq} is another one than its hash was noted for.")


def _hash(seq: int, previous: str, item: Mapping[str, Any]) -> str:
    """SHA-256 over canonical JSON: sorted keys, no spaces, UTF-8."""
    whole = {"item": item, "previous": previous, "seq": seq}
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
