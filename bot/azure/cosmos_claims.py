"""Accepted activities in Cosmos DB: their order, their leases, and what a turn leaves behind.

All of a conversation is in one partition. A claim's number comes from a counter there, for no two
clocks agree. Every change of a claim names its owner as a condition, which the service checks with
the change: who lost a claim changes nothing, however late it wakes up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from ..domain.lease import Watched
from ..errors import StoreError
from ..ports import Claim, JsonObject, Outcome
from .cosmos_calls import OK
from .cosmos_containers import AUDIT, CONTAINERS, CONVERSATIONS, Container
from .cosmos_contention import BUSY
from .cosmos_database import Database
from .cosmos_items import bounded, literal, micros, moment, name, packed, stamp, unpacked
from .cosmos_trail import CosmosTrail

_COUNTER = "counter"
_NAMED = {container.name: container for container in CONTAINERS}

Left = list[tuple[Container, JsonObject]]


class Claims(CosmosTrail):
    """The part of the store that accepts, leases and finishes; `seconds` is how long all is kept.

    A claim is known here by its key from when it is taken until it is let go: only who holds one
    may change it, and the key alone does not say which conversation it is of.
    """

    def __init__(self, database: Database, seconds: int) -> None:
        super().__init__(database, seconds)
        self._held: dict[tuple[str, str], list[str]] = {}
        self._watched = Watched()

    async def accept(self, claim: Claim) -> bool:
        """Keep an activity; False when its key was accepted before in its conversation."""
        partition = bounded(claim.conversation)
        item: JsonObject = {
            "id": name(claim.key),
            "conversation": partition,
            "named": claim.conversation,
            "key": claim.key,
            "body": packed(claim.body),
            "accepted": micros(claim.accepted),
            "stamp": stamp(claim.accepted, next(self._numbers)),
            "attempts": claim.attempts,
            "progress": {each: packed(value) for each, value in claim.progress.items()},
            "owner": "",
            "until": 0,
            "open": True,
        }
        return await self._db.create(CONVERSATIONS, {**item, "seq": await self._next(partition)})

    async def _next(self, partition: str) -> int:
        """Count the conversation's claims; a number that comes to nothing harms nobody."""
        for _ in range(2):
            status, counter = await self._db.patch(
                CONVERSATIONS, _COUNTER, [partition], {}, plus_one="/next"
            )
            if status is OK:
                return counter["next"]
            first = {"id": _COUNTER, "conversation": partition, "next": 1, "ttl": self._seconds}
            if await self._db.create(CONVERSATIONS, first):
                return 1
        raise StoreError(BUSY)

    async def take(
        self, conversation: str, owner: str, now: datetime, lease: timedelta
    ) -> Claim | None:
        """Lease the oldest unfinished claim, unless a lease on one still runs."""
        partition = [bounded(conversation)]
        waiting = await self._db.query(
            CONVERSATIONS,
            "SELECT TOP 20 c.id, c.key, c.owner, c.until FROM c WHERE c.open = true ORDER BY c.seq",
            partition,
        )
        # A number is drawn before its claim is kept: an older claim may show up after a younger.
        if not waiting or any(self._runs(each, now, lease) for each in waiting):
            return None
        until, read = micros(now + lease), waiting[0]
        status, item = await self._db.patch(
            CONVERSATIONS,
            read["id"],
            partition,
            {"/owner": owner, "/until": until},
            plus_one="/attempts",
            where=f"c.open = true AND c.owner = {literal(read['owner'])}"
            f" AND c.until = {read['until']}",
        )
        if status is not OK:
            return None
        self._watched.saw(item["key"], owner, until, now + lease)
        await self._keep(_left(item))
        self._held[owner, item["key"]] = [item["id"], *partition]
        progress = {each: unpacked(text) for each, text in item["progress"].items()}
        body, accepted = unpacked(item["body"]), moment(item["accepted"])
        return Claim(item["key"], conversation, body, accepted, item["attempts"], progress)

    def _runs(self, claim: JsonObject, now: datetime, lease: timedelta) -> bool:
        """Say whether somebody holds a claim, and is alive."""
        holder = claim["owner"]
        return bool(holder) and not self._watched.ran_out(
            claim["key"], holder, claim["until"], now, lease
        )

    async def renew(self, owner: str, now: datetime, lease: timedelta) -> tuple[str, ...]:
        """Extend all leases that `owner` holds: those just run out too, if nobody took over."""
        held, until = self._of(owner), micros(now + lease)
        renewed = await asyncio.gather(*(self._change(*each, {"/until": until}) for each in held))
        keys = tuple(key for (_, key), kept in zip(held, renewed, strict=True) if kept)
        for key in keys:
            self._watched.saw(key, owner, until, now + lease)
        return keys

    async def note(self, key: str, owner: str, progress: JsonObject) -> bool:
        """Merge into a claim's progress, name by name; False when `owner` does not hold it."""
        return await self._change(owner, key, _noted(progress))

    async def finish(
        self, key: str, owner: str, now: datetime, left: JsonObject | None = None
    ) -> bool:
        """Mark a claim done; its body and progress go, its key and `left` stay until its end."""
        values: JsonObject = {
            "/open": False,
            "/owner": "",
            "/body": "",
            "/progress": {},
            "/left": "",
            "/answers": packed(left) if left else "",
            "/age": micros(now),
            "/ttl": self._seconds,
        }
        finished = await self._change(owner, key, values)
        self._held.pop((owner, key), None)
        return finished

    async def sent_by(self, conversation: str, activity: str) -> JsonObject | None:
        """What is left of the finished claim that this message answers, or None."""
        # A thumb is rare: an index on it would cost every turn.
        text = "SELECT c.answers FROM c WHERE c.open = false ORDER BY c.seq DESC"
        items = await self._db.query(CONVERSATIONS, text, [bounded(conversation)])
        found = (unpacked(item["answers"]) for item in items if item.get("answers"))
        return next((left for left in found if activity in left.get("sent", ())), None)

    async def release(self, owner: str, key: str = "") -> None:
        """Hand back a claim, or without a key every claim, that `owner` holds; free at once."""
        values = {"/owner": "", "/until": 0}
        held = [each for each in self._of(owner) if key in ("", each[1])]
        await asyncio.gather(*(self._change(*each, values) for each in held))
        for each in held:
            self._held.pop(each, None)

    async def waiting(self, now: datetime, lease: timedelta) -> tuple[str, ...]:
        """Conversations where a claim is open and nobody holds one, longest waiting first."""
        held, first = set[str](), dict[str, str]()
        for each in await self._open():
            conversation = each["named"]
            first[conversation] = min(each["stamp"], first.get(conversation, each["stamp"]))
            if self._runs(each, now, lease):
                held.add(conversation)
        return tuple(each for each in sorted(first, key=first.__getitem__) if each not in held)

    async def backlog(self) -> int:
        """Count unfinished claims."""
        return len(await self._open())

    async def oldest(self) -> datetime | None:
        """When the oldest unfinished claim was accepted."""
        stamps = [each["stamp"] for each in await self._open()]
        return moment(int(min(stamps).partition(".")[0])) if stamps else None

    async def _open(self) -> list[JsonObject]:
        return await self._db.query(
            CONVERSATIONS,
            "SELECT c.named, c.stamp, c.key, c.owner, c.until FROM c WHERE c.open = true",
        )

    async def _commit(self, outcome: Outcome, owner: str, left: Left) -> bool:
        """Write down with the claim all that is to be kept, in one step, and then keep it.

        Between the two a crash loses nothing: whoever takes the claim over keeps it first. What is
        kept has names that follow from it, so that keeping it again changes nothing.
        """
        values = _noted(outcome.progress)
        if left:
            values["/left"] = packed([(container.name, item) for container, item in left])
        held = await self._change(owner, outcome.claim, values)
        if held:
            await self._keep(left)
        return held

    async def _keep(self, left: Left) -> None:
        items = [each for each in left if each[0] != AUDIT]
        await asyncio.gather(*(self._db.create(container, item) for container, item in items))
        for container, line in left:
            if container == AUDIT:
                await self._append(line)

    async def _change(self, owner: str, key: str, values: JsonObject) -> bool:
        """Change a claim that `owner` holds; False when it does not."""
        if (held := self._held.get((owner, key))) is None:
            return False
        id, *partition = held
        where = f"c.open = true AND c.owner = {literal(owner)}"
        status, _ = await self._db.patch(CONVERSATIONS, id, partition, values, where=where)
        if status is not OK:
            self._held.pop((owner, key), None)
        return status is OK

    def _of(self, owner: str) -> Sequence[tuple[str, str]]:
        return [each for each in self._held if each[0] == owner]


def _noted(progress: JsonObject) -> dict[str, Any]:
    paths = {each: each.replace("~", "~0").replace("/", "~1") for each in progress}
    return {f"/progress/{paths[each]}": packed(value) for each, value in progress.items()}


def _left(item: JsonObject) -> Left:
    """What a commit wrote down with a claim."""
    if not (text := item.get("left")):
        return []
    return [(_NAMED[container], kept) for container, kept in unpacked(text)]
