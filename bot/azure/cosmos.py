"""What Casemate remembers, in Azure Cosmos DB, for any number of replicas."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from ..domain.announcement import NEWS
from ..domain.incident import IncidentRef
from ..domain.transcript import Thread, Turn
from ..ports import Erased, JsonObject, Outcome
from ..records import encoded, turn_of
from .cosmos_calls import OK
from .cosmos_claims import Claims, Left
from .cosmos_containers import AUDIT, CONVERSATIONS, DOCUMENTS, HISTORY, OUTBOX, PROPOSALS
from .cosmos_contention import Contended
from .cosmos_database import BUDGET_SECONDS, Database, Operation
from .cosmos_items import (
    MOST_BYTES,
    bounded,
    incident_key,
    micros,
    name,
    packed,
    stamp,
    unpacked,
)
from .cosmos_outbox import CosmosOutbox
from .cosmos_proposals import Proposals, proposal_item
from .cosmos_trail import audit_line

_LONG = 100_000  # characters of text that are packed and read beside the event loop
_DOCUMENT_BYTES = MOST_BYTES - 10_000
_TALLIES = "tallies"  # all counted numbers are in one partition, so that several are counted as one


class CosmosStore(Claims, Proposals):
    """The `Store` of several replicas: the containers of one database, made by infrastructure.

    `key` is an account key, or gives tokens of Entra ID; items end `keep` after their last change,
    the audit by its own sweep.
    Operations that touch one item, or one partition, are one transaction. `commit` touches several:
    it is written down whole in its claim first (see `Claims`). `budget` is in seconds.
    """

    def __init__(
        self,
        url: str,
        database: str,
        key: str | Callable[[], Awaitable[str]],
        keep: timedelta,
        budget: float = BUDGET_SECONDS,
    ) -> None:
        opened, seconds = Database(url, database, key, budget), int(keep.total_seconds())
        super().__init__(opened, seconds)
        # While an incident is news, that it was announced and prepared is not forgotten.
        self._lasting = max(seconds, int(NEWS.total_seconds()))
        self._tallying = Contended(budget)
        self.outbox = CosmosOutbox(opened, self._lasting)

    async def open(self) -> None:
        """Connect; raises StoreError where a container is missing or is not as it should be."""
        await self._db.open()

    async def close(self) -> None:
        """Let go of the connections."""
        await self._db.close()

    async def ping(self) -> None:
        """Raise StoreError unless an item can be written."""
        ping = {"id": "ping", "part": "ping", "age": 0, "ttl": self._lasting}
        await self._db.put(DOCUMENTS, ping)

    # history

    async def commit(self, outcome: Outcome, owner: str) -> bool:
        """Keep a turn's outcome as one; False, and nothing kept, when the claim was lost."""
        committing = asyncio.ensure_future(self._commit(outcome, owner, self._left_by(outcome)))
        try:
            return await asyncio.shield(committing)
        except asyncio.CancelledError:
            # Whole or nothing, for whoever looks after the cancelled caller is gone.
            await asyncio.gather(committing, return_exceptions=True)
            raise

    def _left_by(self, outcome: Outcome) -> Left:
        left: Left = []
        if outcome.thread is not None and outcome.turn is not None:
            left.append((HISTORY, self._turn_item(outcome.thread, outcome.turn)))
        if outcome.proposal is not None:
            left.append((PROPOSALS, proposal_item(outcome.proposal, self._seconds)))
        for item in outcome.audit:
            mark = name("claim", outcome.claim, encoded(item).decode())
            left.append((AUDIT, audit_line(mark, item)))
        return left

    def _turn_item(self, thread: Thread, turn: Turn) -> JsonObject:
        tenant, analyst, incident = _history(thread)
        return {
            "id": name(turn.id),
            "tenant": tenant,
            "analyst": analyst,
            "incident": incident,
            "turn": packed(turn),
            "stamp": stamp(turn.asked, next(self._numbers)),
            "age": micros(turn.asked),
            "ttl": self._seconds,
            **({"folded": micros(turn.fold.first)} if turn.fold else {}),
        }

    async def turns(self, thread: Thread, limit: int) -> tuple[Turn, ...]:
        """The newest `limit` turns of a history by when they were asked, oldest first."""
        if limit <= 0:
            return ()
        text = "SELECT TOP @limit c.turn FROM c ORDER BY c.stamp DESC"
        items = await self._db.query(HISTORY, text, _history(thread), limit=limit)
        return tuple(turn_of(unpacked(item["turn"])) for item in reversed(items))

    async def forget_thread(self, thread: Thread) -> Erased:
        """Delete one history; proposals, focus and audit stay."""
        return Erased(
            await self._db.delete_all(HISTORY, await self._db.find(HISTORY, "", _history(thread)))
        )

    async def forget_analyst(self, tenant: str, analyst: str) -> Erased:
        """Delete an analyst's histories, focus, and proposals with their writes; not the audit."""
        where = "c.tenant = @tenant AND c.analyst = @analyst"
        who: JsonObject = {"tenant": bounded(tenant), "analyst": bounded(analyst)}
        focus = await self._db.find(CONVERSATIONS, where, **who)
        await self._db.delete_all(CONVERSATIONS, focus)
        theirs = await self._db.find(HISTORY, where, **who)
        turns = await self._db.delete_all(HISTORY, theirs)
        return Erased(turns, await self._forget_proposals(tenant, analyst))

    # focus

    async def set_focus(
        self, tenant: str, conversation: str, analyst: str, incident: IncidentRef, now: datetime
    ) -> None:
        """Remember which incident an analyst means in a conversation."""
        item: JsonObject = {
            "id": name(tenant, analyst),
            "conversation": bounded(conversation),
            "tenant": bounded(tenant),
            "analyst": bounded(analyst),
            "workspace": incident.workspace,
            "incident": incident.id,
            "at": stamp(now, next(self._numbers)),
            "age": micros(now),
            "ttl": self._seconds,
        }
        await self._db.put(CONVERSATIONS, item)

    async def focus(self, tenant: str, conversation: str, analyst: str) -> IncidentRef | None:
        """The analyst's own focus in this conversation, else the conversation's newest."""
        partition = [bounded(conversation)]
        found = await self._db.read(CONVERSATIONS, name(tenant, analyst), partition)
        if found is None:
            text = "SELECT TOP 1 * FROM c WHERE c.tenant = @tenant ORDER BY c.at DESC"
            newest = await self._db.query(CONVERSATIONS, text, partition, tenant=bounded(tenant))
            found = newest[0] if newest else None
        return IncidentRef(found["workspace"], found["incident"]) if found else None

    # documents

    async def keep(self, key: str, value: JsonObject, now: datetime) -> None:
        """Keep one document under a name, in place of the one before."""
        body = await asyncio.to_thread(packed, value, _DOCUMENT_BYTES)
        await self._db.put(DOCUMENTS, self._document(name(key), name(key), now, body=body))

    def _document(self, id: str, part: str, now: datetime, **values: Any) -> JsonObject:
        return {"id": id, "part": part, "age": micros(now), "ttl": self._lasting, **values}

    async def kept(self, key: str) -> JsonObject | None:
        """The document kept under a name, or None."""
        item = await self._db.read(DOCUMENTS, name(key), [name(key)])
        if item is None:
            return None
        text = item["body"]
        return unpacked(text) if len(text) < _LONG else await asyncio.to_thread(unpacked, text)

    async def tally(
        self, keys: Sequence[str], period: str, amount: int, now: datetime
    ) -> tuple[int, ...]:
        """Add to the numbers kept under these names, and give the sums."""
        names = [name(key) for key in keys]

        async def attempt() -> tuple[int, ...] | None:
            read = await asyncio.gather(
                *(self._db.read(DOCUMENTS, each, [_TALLIES]) for each in names)
            )
            sums: list[int] = []
            steps: list[Operation] = []
            for id, last in zip(names, read, strict=True):
                known = last or {"period": "", "sum": 0}
                total: int = amount + (known["sum"] if known["period"] >= period else 0)
                values = {"period": max(period, known["period"]), "sum": total}
                item = self._document(id, _TALLIES, now, **values)
                if last is None:
                    steps.append(("create", (item,)))
                else:
                    steps.append(("replace", (id, item), {"if_match_etag": last["_etag"]}))
                sums.append(total)
            if amount and await self._db.batch(DOCUMENTS, [_TALLIES], steps) is not OK:
                return None
            return tuple(sums)

        return await self._tallying(attempt)

    async def sweep(self, now: datetime, keep: timedelta) -> None:
        """Delete what is older than `keep`, but not answers still owed, places, or the audit.

        The service does this itself, by each item's time to live; what a shorter `keep` makes too
        old is left to this.
        """
        old, old_news = now - keep, now - max(keep, NEWS)
        await self._sweep_proposals(old)
        await self._sweep_folds(old)
        for container, age, before in (
            (CONVERSATIONS, "age", old),
            (HISTORY, "age", old),
            (OUTBOX, "due", old_news),
            (DOCUMENTS, "age", old_news),
        ):
            found = await self._db.find(container, f"c.{age} < @before", before=micros(before))
            await self._db.delete_all(container, found, as_read=True)

    async def _sweep_folds(self, before: datetime) -> None:
        """A fold is not kept longer than what it was made from; its turn stays."""
        text = "SELECT * FROM c WHERE c.folded < @before"
        for item in await self._db.query(HISTORY, text, before=micros(before)):
            bare = packed(replace(turn_of(unpacked(item["turn"])), fold=None))
            key = [item[each] for each in HISTORY.keys]
            await self._db.patch(HISTORY, item["id"], key, {"/turn": bare, "/folded": None})


def _history(thread: Thread) -> list[str]:
    return [bounded(thread.tenant), bounded(thread.analyst), incident_key(thread.incident)]
