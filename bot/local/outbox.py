"""The places that hear of incidents and what is on its way to them, in the SQLite store."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from ..domain.announcement import Announcement, Subscription
from ..domain.incident import IncidentRef
from ..domain.lease import Watched
from ..records import decoded, encoded, subscription_of
from .database import Database
from .transactions import micros, moment

_COLUMNS = "place, workspace, incident, wanted, seen, sent, activity, digest"


class SqliteOutbox:
    """The `Outbox` over the store's own file."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._watched = Watched()

    async def subscribe(self, subscription: Subscription) -> None:
        """Keep a place, instead of what was known of it."""
        place = subscription.place
        await self._db.changed(
            "INSERT INTO places VALUES (?, ?, ?)"
            " ON CONFLICT (tenant, conversation) DO UPDATE SET body = excluded.body",
            place.tenant,
            place.conversation,
            encoded(subscription),
        )

    async def unsubscribe(self, tenant: str, conversation: str) -> bool:
        """Forget a place and what was to be announced there; False where it was not known."""

        def work(db: sqlite3.Connection) -> bool:
            db.execute("DELETE FROM announcements WHERE place = ?", (conversation,))
            forgotten = db.execute(
                "DELETE FROM places WHERE tenant = ? AND conversation = ?", (tenant, conversation)
            )
            return forgotten.rowcount == 1

        return await self._db.transaction(work)

    async def subscriptions(self) -> tuple[Subscription, ...]:
        """All places, first kept first."""
        rows = await self._db.rows("SELECT body FROM places ORDER BY rowid")
        return tuple(subscription_of(decoded(body)) for (body,) in rows)

    async def notice(
        self, incident: IncidentRef, state: str, places: Sequence[str], now: datetime
    ) -> bool:
        """Want a state shown in `places`, and wherever the incident was announced before."""
        key = (incident.workspace, incident.id)

        def work(db: sqlite3.Connection) -> bool:
            changed = db.execute(
                "UPDATE announcements SET wanted = ? WHERE workspace = ? AND incident = ?"
                " AND wanted != ?",
                (state, *key, state),
            ).rowcount
            for place in places:
                changed += db.execute(
                    "INSERT INTO announcements (place, workspace, incident, wanted, seen, due)"
                    " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                    (place, *key, state, micros(now), micros(now)),
                ).rowcount
            return changed > 0

        return await self._db.transaction(work)

    async def announced(self, incident: IncidentRef) -> bool:
        """Say whether an incident was, or is to be, announced anywhere."""
        rows = await self._db.rows(
            "SELECT 1 FROM announcements WHERE workspace = ? AND incident = ? LIMIT 1",
            incident.workspace,
            incident.id,
        )
        return bool(rows)

    async def waiting(self, now: datetime) -> tuple[str, ...]:
        """Places where something is to be sent or edited now."""
        rows = await self._db.rows(
            "SELECT DISTINCT place FROM announcements WHERE wanted != sent AND due <= ?",
            micros(now),
        )
        return tuple(place for (place,) in rows)

    async def depth(self, now: datetime) -> int:
        """Count what is to be sent or edited now, in all places."""
        rows = await self._db.rows(
            "SELECT count(*) FROM announcements WHERE wanted != sent AND due <= ?", micros(now)
        )
        return rows[0][0]

    async def pending(self, place: str, now: datetime, limit: int) -> tuple[Announcement, ...]:
        """What is to be sent or edited in a place, first seen first."""
        rows = await self._db.rows(
            f"SELECT {_COLUMNS} FROM announcements"  # noqa: S608 - our own names
            " WHERE place = ? AND wanted != sent AND due <= ? ORDER BY seen, rowid LIMIT ?",
            place,
            micros(now),
            limit,
        )
        return tuple(map(_announcement, rows))

    async def carried(self, place: str, activity: str) -> tuple[Announcement, ...]:
        """What one message, a digest, announces."""
        rows = await self._db.rows(
            f"SELECT {_COLUMNS} FROM announcements"  # noqa: S608 - our own names
            " WHERE place = ? AND activity = ? ORDER BY seen, rowid",
            place,
            activity,
        )
        return tuple(map(_announcement, rows))

    async def posted_since(self, place: str, since: datetime) -> int:
        """Count the incidents that were announced in a place since a moment."""
        rows = await self._db.rows(
            "SELECT count(*) FROM announcements WHERE place = ? AND posted >= ?",
            place,
            micros(since),
        )
        return rows[0][0]

    async def sent(self, shown: Sequence[Announcement], now: datetime, rest: timedelta) -> None:
        """Keep what messages show now; they are not edited again within `rest`."""

        def work(db: sqlite3.Connection) -> None:
            for each in shown:
                db.execute(
                    "UPDATE announcements SET sent = ?, activity = ?, digest = ?, due = ?,"
                    " wanted = CASE wanted WHEN ? THEN ? ELSE wanted END,"
                    " posted = CASE ? WHEN '' THEN posted ELSE coalesce(posted, ?) END"
                    " WHERE place = ? AND workspace = ? AND incident = ? AND activity IN ('', ?)",
                    (
                        *(each.sent, each.activity, each.digest, micros(now + rest)),
                        *(each.wanted, each.sent),
                        *(each.activity, micros(now)),
                        *(each.place, each.incident.workspace, each.incident.id),
                        each.activity,
                    ),
                )

        await self._db.transaction(work)

    async def lease(self, name: str, owner: str, now: datetime, span: timedelta) -> bool:
        """Take or extend a lease; False while another owner's runs."""
        until = micros(now + span)

        def work(db: sqlite3.Connection) -> bool:
            row = db.execute("SELECT owner, until FROM leases WHERE name = ?", (name,)).fetchone()
            holder, runs = row or (owner, 0)
            if holder != owner and not self._watched.ran_out(name, holder, runs, now, span):
                return False
            if span:
                db.execute("INSERT OR REPLACE INTO leases VALUES (?, ?, ?)", (name, owner, until))
            else:
                db.execute("DELETE FROM leases WHERE name = ?", (name,))
            return True

        taken = await self._db.transaction(work)
        if taken and span:
            self._watched.saw(name, owner, until, now + span)
        return taken

    async def let_go(self, owner: str) -> None:
        """Give up all leases of an owner."""
        await self._db.changed("DELETE FROM leases WHERE owner = ?", owner)


def _announcement(row: tuple[Any, ...]) -> Announcement:
    place, workspace, incident, wanted, seen, sent, activity, digest = row
    ref = IncidentRef(workspace, incident)
    return Announcement(place, ref, wanted, moment(seen), sent, activity, bool(digest))
