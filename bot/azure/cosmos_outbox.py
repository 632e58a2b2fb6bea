"""The places that hear of incidents and what is on its way to them, in Cosmos DB.

What a place is to show is in one partition. Where a state is changed by what was read, the change
names the etag that was read, and is worked out anew where somebody was faster.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

from ..domain.announcement import Announcement, Subscription
from ..domain.incident import IncidentRef
from ..domain.lease import Watched
from ..errors import StoreError
from ..ports import JsonObject
from ..records import subscription_of
from .cosmos_calls import NOT_FOUND, OK
from .cosmos_containers import DOCUMENTS, OUTBOX, PLACES
from .cosmos_contention import BUSY
from .cosmos_database import BATCH, Database, Operation
from .cosmos_items import bounded, literal, micros, moment, numbered, packed, stamp, unpacked
from .cosmos_items import name as named

_TRIES = 5


class CosmosOutbox:
    """The `Outbox` over the store's own database; `seconds` is how long what it holds is kept."""

    def __init__(self, database: Database, seconds: int) -> None:
        self._db = database
        self._seconds = seconds
        self._watched = Watched()
        self._numbers = numbered()

    # --- places ------------------------------------------------------------------------------

    async def subscribe(self, subscription: Subscription) -> None:
        """Keep a place, instead of what was known of it."""
        place = subscription.place
        item: JsonObject = {
            "id": named(place.conversation),
            "tenant": bounded(place.tenant),
            "conversation": place.conversation,
            "body": packed(subscription),
        }
        await self._db.put(PLACES, item)

    async def unsubscribe(self, tenant: str, conversation: str) -> bool:
        """Forget a place, after what was to be announced there; False where it was not known."""
        announced = await self._db.find(OUTBOX, "", [bounded(conversation)])
        await self._db.delete_all(OUTBOX, announced)
        return await self._db.delete(PLACES, named(conversation), [bounded(tenant)])

    async def subscriptions(self) -> tuple[Subscription, ...]:
        """All places, by when they subscribed."""
        items = await self._db.query(PLACES, "SELECT c.body FROM c")
        places = [subscription_of(unpacked(item["body"])) for item in items]
        return tuple(sorted(places, key=lambda each: (each.since, each.place.conversation)))

    # --- what is to be shown -----------------------------------------------------------------

    async def notice(
        self, incident: IncidentRef, state: str, places: Sequence[str], now: datetime
    ) -> bool:
        """Want a state shown in `places`, and wherever the incident was announced before.

        Not one transaction: after a crash the next poll notices the same again, and the rest
        follows.
        """
        known = await self._known(incident)
        wanting = [item for item in known if item["wanted"] != state]
        new = dict.fromkeys(places).keys() - {item["conversation"] for item in known}
        changed = await asyncio.gather(
            *(self._want(item, state) for item in wanting),
            *(self._db.create(OUTBOX, self._new(each, incident, state, now)) for each in new),
        )
        return any(changed)

    async def _known(self, incident: IncidentRef) -> list[JsonObject]:
        return await self._db.query(
            OUTBOX,
            "SELECT * FROM c WHERE c.workspace = @workspace AND c.incident = @incident",
            workspace=incident.workspace,
            incident=incident.id,
        )

    def _new(self, place: str, incident: IncidentRef, state: str, now: datetime) -> JsonObject:
        return {
            "id": named(incident.workspace, incident.id),
            "place": bounded(place),
            "conversation": place,
            "workspace": incident.workspace,
            "incident": incident.id,
            "wanted": state,
            "seen": micros(now),
            "stamp": stamp(now, next(self._numbers)),
            "sent": "",
            "activity": "",
            "digest": False,
            "due": micros(now),
            "pending": True,
            "ttl": self._seconds,
        }

    async def _want(self, read: JsonObject, state: str) -> bool:
        item: JsonObject | None = read
        for _ in range(_TRIES):
            if item is None or item["wanted"] == state:
                return False
            if await self._replace([_pending({**item, "wanted": state})]):
                return True
            item = await self._db.read(OUTBOX, item["id"], [item["place"]])
        raise StoreError(BUSY)

    async def _replace(self, items: Sequence[JsonObject]) -> bool:
        """Put items of one place in place of what was read, all or none."""
        steps: list[Operation] = [
            ("replace", (item["id"], item), {"if_match_etag": item["_etag"]}) for item in items
        ]
        return await self._db.batch(OUTBOX, [items[0]["place"]], steps) is OK

    async def announced(self, incident: IncidentRef) -> bool:
        """Say whether an incident was, or is to be, announced anywhere."""
        return bool(await self._known(incident))

    async def waiting(self, now: datetime) -> tuple[str, ...]:
        """Places where something is to be sent or edited now."""
        return tuple(dict.fromkeys(item["conversation"] for item in await self._due(now)))

    async def depth(self, now: datetime) -> int:
        """Count what is to be sent or edited now, in all places."""
        return len(await self._due(now))

    async def _due(self, now: datetime) -> list[JsonObject]:
        text = "SELECT c.conversation FROM c WHERE c.pending = true AND c.due <= @now"
        return await self._db.query(OUTBOX, text, now=micros(now))

    async def pending(self, place: str, now: datetime, limit: int) -> tuple[Announcement, ...]:
        """What is to be sent or edited in a place, first seen first."""
        text = "SELECT * FROM c WHERE c.pending = true AND c.due <= @now"
        items = await self._db.query(OUTBOX, text, [bounded(place)], now=micros(now))
        return _announcements(items)[:limit]

    async def carried(self, place: str, activity: str) -> tuple[Announcement, ...]:
        """What one message, a digest, announces."""
        text = "SELECT * FROM c WHERE c.activity = @activity"
        items = await self._db.query(OUTBOX, text, [bounded(place)], activity=activity)
        return _announcements(items)

    async def posted_since(self, place: str, since: datetime) -> int:
        """Count the incidents that were announced in a place since a moment."""
        text = "SELECT c.id FROM c WHERE c.posted >= @since"
        return len(await self._db.query(OUTBOX, text, [bounded(place)], since=micros(since)))

    async def sent(self, shown: Sequence[Announcement], now: datetime, rest: timedelta) -> None:
        """Keep what messages show now; they are not edited again within `rest`.

        What a place is shown is one transaction for each hundred: a message shows fewer than that.
        """
        places = dict.fromkeys(each.place for each in shown)
        for place in places:
            there = [each for each in shown if each.place == place]
            for start in range(0, len(there), BATCH):
                await self._sent(there[start : start + BATCH], micros(now), micros(now + rest))

    async def _sent(self, shown: Sequence[Announcement], now: int, due: int) -> None:
        for _ in range(_TRIES):
            read = await asyncio.gather(*map(self._of, shown))
            items = [
                _showing(item, each, now, due)
                for item, each in zip(read, shown, strict=True)
                if item is not None and item["activity"] in ("", each.activity)
            ]
            if not items or await self._replace(items):
                return
        raise StoreError(BUSY)

    async def _of(self, each: Announcement) -> JsonObject | None:
        id = named(each.incident.workspace, each.incident.id)
        return await self._db.read(OUTBOX, id, [bounded(each.place)])

    # --- leases ------------------------------------------------------------------------------

    async def lease(self, name: str, owner: str, now: datetime, span: timedelta) -> bool:
        """Take or extend a lease; False while another owner's runs."""
        id, until = named("lease", name), micros(now + span)
        # Who gives it back is nobody: then anybody may have it.
        values: JsonObject = {"/owner": owner if span else "", "/until": until, "/age": until}
        free = f"c.owner = {literal(owner)} OR c.owner = {literal('')}"
        status, _ = await self._db.patch(DOCUMENTS, id, [id], values, where=free)
        if status is NOT_FOUND:
            first = {"id": id, "part": id, "owner": owner, "until": until, "age": until}
            taken = await self._db.create(DOCUMENTS, {**first, "ttl": self._seconds})
        elif status is not OK and (there := await self._db.read(DOCUMENTS, id, [id])) is not None:
            holder = (there["owner"], there["until"])
            if not self._watched.ran_out(name, *holder, now, span):
                return False
            same = f"c.owner = {literal(holder[0])} AND c.until = {holder[1]}"
            taken = (await self._db.patch(DOCUMENTS, id, [id], values, where=same))[0] is OK
        else:
            taken = status is OK
        if taken:
            self._watched.saw(name, owner, until, now + span)
        return taken

    async def let_go(self, owner: str) -> None:
        """Give up all leases of an owner."""
        leases = await self._db.find(DOCUMENTS, "c.owner = @owner", owner=owner)
        await self._db.delete_all(DOCUMENTS, leases, as_read=True)


def _pending(item: JsonObject) -> JsonObject:
    """Work out whether an item is to be sent."""
    return {**item, "pending": item["wanted"] != item["sent"]}


def _showing(item: JsonObject, each: Announcement, now: int, due: int) -> JsonObject:
    """What is kept of an announcement once it was sent, over what was kept of it."""
    posted: JsonObject = {"posted": now} if each.activity else {}
    # What shows another state than was wanted is as good, unless that was changed meanwhile.
    wanted: JsonObject = {"wanted": each.sent} if item["wanted"] == each.wanted else {}
    shows = {"sent": each.sent, "activity": each.activity, "digest": each.digest, "due": due}
    return _pending({**posted, **item, **wanted, **shows})


def _announcements(items: list[JsonObject]) -> tuple[Announcement, ...]:
    return tuple(map(_announcement, sorted(items, key=lambda item: item["stamp"])))


def _announcement(item: JsonObject) -> Announcement:
    return Announcement(
        item["conversation"],
        IncidentRef(item["workspace"], item["incident"]),
        item["wanted"],
        moment(item["seen"]),
        item["sent"],
        item["activity"],
        item["digest"],
    )
