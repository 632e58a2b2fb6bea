"""Proposals in Cosmos DB, each with its clicks and its sharing in a partition of its own."""

from __future__ import annotations

import asyncio
from datetime import datetime

from ..domain.incident import IncidentRef
from ..domain.proposal import Proposal, Write
from ..ports import AuditItem, JsonObject
from ..records import proposal_of
from .cosmos_calls import NOT_FOUND, OK
from .cosmos_containers import PROPOSALS
from .cosmos_items import (
    bounded,
    incident_key,
    micros,
    moment,
    name,
    packed,
    stamp,
    unpacked,
)
from .cosmos_trail import CosmosTrail, audit_line

_PROPOSAL, _SHARE = "proposal", "share"
_MOST_SHARED = 20


class Proposals(CosmosTrail):
    """The part of the store that keeps what buttons would write, and what they wrote."""

    async def keep_proposal(self, proposal: Proposal) -> None:
        """Keep a proposal; one that is there already stays as it is, for cards show it."""
        await self._db.create(PROPOSALS, proposal_item(proposal, self._seconds))

    async def proposal(self, proposal_id: str) -> Proposal | None:
        """The proposal a card names, or None where it was forgotten, swept or never was."""
        item = await self._db.read(PROPOSALS, _PROPOSAL, [name(proposal_id)])
        return proposal_of(unpacked(item["body"])) if item else None

    async def begin_write(self, write: Write, stale: datetime | None = None) -> Write:
        """Record the intention to write, once, or in place of one that came to nothing."""
        item = self._write_item(write)
        if await self._db.create(PROPOSALS, item):
            return write
        partition = [item["proposal"]]
        if stale is not None:
            values = {f"/{each}": item[each] for each in ("by_id", "by_name", "at", "stamp", "age")}
            where = f"c.done = false AND c.at < {micros(stale)}"
            status, _ = await self._db.patch(PROPOSALS, item["id"], partition, values, where=where)
            if status is OK:
                return write
        there = await self._db.read(PROPOSALS, item["id"], partition)
        # Forgotten in between: then it can begin.
        return _write_of(there) if there else await self.begin_write(write, stale)

    async def end_write(self, write: Write, audit: AuditItem) -> None:
        """Record that Sentinel has it; a repeat changes nothing.

        The audit's line comes first and is named by the write: after a crash between the two the
        click is repeated, and finds its line there.
        """
        item = self._write_item(write)
        await self._append(audit_line(name("write", write.proposal, item["id"]), audit))
        done = {"/done": True}
        status, _ = await self._db.patch(PROPOSALS, item["id"], [item["proposal"]], done)
        if status is NOT_FOUND:
            await self._db.create(PROPOSALS, {**item, "done": True})

    async def writes(self, proposal_id: str) -> tuple[Write, ...]:
        """What was begun or done with a proposal, in the order of the clicks."""
        text = 'SELECT * FROM c WHERE c.kind = "write"'
        items = await self._db.query(PROPOSALS, text, [name(proposal_id)])
        return tuple(_write_of(item) for item in sorted(items, key=lambda item: item["stamp"]))

    def _write_item(self, write: Write) -> JsonObject:
        return {
            "id": f"write-{write.kind}-{write.index}",
            "proposal": name(write.proposal),
            "kind": "write",
            "named": write.proposal,
            "what": write.kind,
            "index": write.index,
            "by_id": write.by_id,
            "by_name": write.by_name,
            "at": micros(write.at),
            "done": False,
            "stamp": stamp(write.at, next(self._numbers)),
            "age": micros(write.at),
            "ttl": self._seconds,
        }

    async def share(self, proposal: Proposal, shared: bool, now: datetime) -> bool:
        """Let the next shift see an answer, or no longer; False where that changes nothing."""
        partition = [name(proposal.id)]
        if not shared:
            return await self._db.batch(PROPOSALS, partition, [("delete", (_SHARE,))]) is OK
        item: JsonObject = {
            "id": _SHARE,
            "proposal": partition[0],
            "kind": "share",
            "named": proposal.id,
            "shared_on": incident_key(proposal.incident),
            "stamp": stamp(now, next(self._numbers)),
            "age": micros(proposal.created),
            "ttl": self._seconds,
        }
        # Reading it in the same transaction: what is forgotten cannot be shared any more.
        steps = [("read", (_PROPOSAL,)), ("create", (item,))]
        return await self._db.batch(PROPOSALS, partition, steps) is OK

    async def is_shared(self, proposal_id: str) -> bool:
        """Say whether the next shift may see an answer."""
        return await self._db.read(PROPOSALS, _SHARE, [name(proposal_id)]) is not None

    async def shared(self, incident: IncidentRef) -> tuple[Proposal, ...]:
        """The newest 20 answers that their askers share, in the order of the sharing."""
        text = "SELECT c.named, c.stamp FROM c WHERE c.shared_on = @incident"
        shares = await self._db.query(PROPOSALS, text, incident=incident_key(incident))
        newest = sorted(shares, key=lambda share: share["stamp"])[-_MOST_SHARED:]
        proposals = await asyncio.gather(*(self.proposal(share["named"]) for share in newest))
        return tuple(filter(None, proposals))

    async def _forget_proposals(self, tenant: str, analyst: str) -> int:
        """Delete an analyst's proposals, each after what hangs on it, so that a repeat finds it."""
        theirs = await self._db.find(
            PROPOSALS,
            "c.tenant = @tenant AND c.asked_by = @by",
            tenant=bounded(tenant),
            by=bounded(analyst),
        )
        for each in theirs:
            hanging = await self._db.find(PROPOSALS, "", [each["proposal"]])
            rest = [item for item in hanging if item["id"] != _PROPOSAL]
            await self._db.delete_all(PROPOSALS, rest)
        return await self._db.delete_all(PROPOSALS, theirs)

    async def _sweep_proposals(self, before: datetime) -> None:
        old = await self._db.find(PROPOSALS, "c.age < @before", before=micros(before))
        for each in old:
            if each["id"] == _PROPOSAL:
                await self._db.delete(PROPOSALS, _SHARE, [each["proposal"]])
        await self._db.delete_all(PROPOSALS, old, as_read=True)


def proposal_item(proposal: Proposal, seconds: int) -> JsonObject:
    """The item of a proposal."""
    return {
        "id": _PROPOSAL,
        "proposal": name(proposal.id),
        "kind": "proposal",
        "named": proposal.id,
        "tenant": bounded(proposal.tenant),
        "asked_by": bounded(proposal.provenance.asked_by_id) or None,
        "body": packed(proposal),
        "age": micros(proposal.created),
        "ttl": seconds,
    }


def _write_of(item: JsonObject) -> Write:
    return Write(
        item["named"],
        item["what"],
        item["index"],
        item["by_id"],
        item["by_name"],
        moment(item["at"]),
        item["done"],
    )
