"""The audit in Cosmos DB: one chain in one partition, so that appending is one transaction.

An append creates a line named by its number, creates a mark of what it is about, and replaces the
chain's ends by the etag that was read. Of two replicas one is told a conflict and reads the ends
anew; what was appended before is told by its mark.
"""

from __future__ import annotations

from datetime import datetime
from itertools import takewhile
from typing import Any, cast
from uuid import uuid4

from ..domain.chain import Ends, Link, Mark, linked
from ..domain.incident import IncidentRef
from ..errors import StoreError
from ..ports import AuditItem, JsonObject
from ..records import audit_item_of
from .cosmos_calls import OK
from .cosmos_containers import AUDIT
from .cosmos_contention import Contended
from .cosmos_database import Database, Operation
from .cosmos_items import checked, incident_key, micros, moment, numbered, packed, stamp, unpacked

_CHAIN, _ENDS = "audit", "ends"
_LAST = 10**12 - 1  # above each number that a stamp has
_SWEPT_AT_ONCE = 90  # lines in one transaction, which takes 100 operations


class CosmosTrail:
    """The `Trail` of the store; `seconds` is how long the store keeps all else."""

    def __init__(self, database: Database, seconds: int) -> None:
        self._db = database
        self._seconds = seconds
        self._numbers = numbered()
        self._chaining = Contended(database.budget)

    async def record(self, item: AuditItem) -> None:
        """Append one line to the audit."""
        await self._append(audit_line(str(uuid4()), item))

    async def _append(self, line: JsonObject) -> None:
        """Append what `audit_line` made, once for its mark."""
        checked(line)
        mark, fields = line["mark"], unpacked(line["line"])
        taken = 0

        async def attempt() -> bool | None:
            nonlocal taken
            kept = await self._ends()
            ends = _ends_of(kept)
            link = linked(Mark(max(ends.head.seq, taken), ends.head.hash), fields)
            steps: list[Operation] = [
                ("create", ({"id": mark, "chain": _CHAIN},)),
                ("create", (_kept(link, line),)),
                _replacing(kept, Ends(ends.anchor, link.mark)),
            ]
            if await self._db.batch(AUDIT, [_CHAIN], steps) is OK:
                return True
            if await self._db.read(AUDIT, mark, [_CHAIN]) is not None:
                return True
            # Where somebody cut the head back, the chain breaks at the next number and goes on.
            text = "SELECT TOP 1 c.seq FROM c WHERE c.seq > @head ORDER BY c.seq DESC"
            newest = await self._db.query(AUDIT, text, [_CHAIN], head=ends.head.seq)
            taken = newest[0]["seq"] if newest else 0
            return None

        await self._chaining(attempt)

    async def audit(
        self, incident: IncidentRef, limit: int, after: datetime | None = None
    ) -> tuple[AuditItem, ...]:
        """The newest `limit` items on an incident, or of those `after` a time, oldest first."""
        text = (
            "SELECT TOP @limit c.line FROM c WHERE c.incident = @incident AND c.stamp > @after"
            " ORDER BY c.stamp DESC"
        )
        since = stamp(after, _LAST) if after else ""
        values = {"limit": limit, "incident": incident_key(incident), "after": since}
        lines = await self._db.query(AUDIT, text, [_CHAIN], **values)
        return tuple(audit_item_of(unpacked(line["line"])) for line in reversed(lines))

    async def links(self, after: int, limit: int) -> tuple[Link, ...]:
        """The first `limit` links whose number is above `after`, in order."""
        text = "SELECT TOP @limit * FROM c WHERE c.seq > @after ORDER BY c.seq"
        lines = await self._db.query(AUDIT, text, [_CHAIN], limit=limit, after=after)
        return tuple(
            Link(line["seq"], line.get("previous", ""), line.get("hash", ""), _legible(line))
            for line in lines
        )

    async def ends(self) -> Ends:
        """Where the chain begins and ends, as kept apart from its items."""
        return _ends_of(await self._ends())

    async def _ends(self) -> JsonObject | None:
        return await self._db.read(AUDIT, _ENDS, [_CHAIN])

    async def sweep_audit(self, before: datetime) -> None:
        """Delete the oldest items up to the first from `before` or later, and keep the anchor."""
        until = stamp(before, 0)
        while await self._chaining(lambda: self._sweep_some(until)):
            pass

    async def _sweep_some(self, until: str) -> bool | None:
        """Say whether there may be more; None where somebody was faster."""
        kept = await self._ends()
        text = "SELECT TOP @most * FROM c WHERE c.seq > 0 ORDER BY c.seq"
        lines = await self._db.query(AUDIT, text, [_CHAIN], most=_SWEPT_AT_ONCE)
        # What somebody took the time of is not deleted, and so nothing after it.
        old = list(takewhile(lambda line: str(line.get("stamp", "~")) < until, lines))
        if not old:
            return False
        # The marks go first: one that is left over would be left for good.
        marks = [{"id": line["mark"], "chain": _CHAIN} for line in old if "mark" in line]
        await self._db.delete_all(AUDIT, marks)
        anchor = Mark(old[-1]["seq"], old[-1].get("hash", ""))
        steps: list[Operation] = [("delete", (line["id"],)) for line in old]
        steps.append(_replacing(kept, Ends(anchor, _ends_of(kept).head)))
        if await self._db.batch(AUDIT, [_CHAIN], steps) is not OK:
            return None
        return len(old) == len(lines)


def audit_line(mark: str, item: AuditItem) -> JsonObject:
    """What is kept of an item before it has its place in the chain; `mark` tells a repeat."""
    incident = incident_key(item.incident) if item.incident else ""
    return {"mark": mark, "incident": incident, "at": micros(item.at), "line": packed(item)}


def _kept(link: Link, line: JsonObject) -> JsonObject:
    return {
        "id": str(link.seq),
        "chain": _CHAIN,
        "seq": link.seq,
        "previous": link.previous,
        "hash": link.hash,
        "line": line["line"],
        "incident": line["incident"],
        "mark": line["mark"],
        "stamp": stamp(moment(line["at"]), link.seq),
    }


def _ends_of(kept: JsonObject | None) -> Ends:
    return Ends(Mark(**kept["anchor"]), Mark(**kept["head"])) if kept else Ends()


def _replacing(kept: JsonObject | None, ends: Ends) -> Operation:
    """The step that keeps the ends, if they are still as they were read."""
    marks = {"anchor": ends.anchor, "head": ends.head}
    item: JsonObject = {
        "id": _ENDS,
        "chain": _CHAIN,
        **{each: {"seq": mark.seq, "hash": mark.hash} for each, mark in marks.items()},
    }
    if kept is None:
        return "create", (item,)
    return "replace", (_ENDS, item), {"if_match_etag": kept["_etag"]}


def _legible(line: JsonObject) -> JsonObject:
    try:
        fields: Any = unpacked(str(line.get("line")))
    except StoreError:
        return {}
    return cast(JsonObject, fields) if isinstance(fields, dict) else {}
