"""What Casemate remembers, in one SQLite file that several processes may share."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from ..domain.incident import IncidentRef
from ..domain.lease import Watched
from ..domain.proposal import Proposal, Write
from ..domain.transcript import Thread, Turn
from ..ports import AuditItem, Claim, Erased, JsonObject, Outcome
from ..records import decoded, encoded, proposal_of
from . import transactions
from .database import Database
from .outbox import SqliteOutbox
from .times import micros, moment
from .trail import SqliteTrail
from .transactions import thread_columns, write_of


class SqliteStore(SqliteTrail):
    """The `Store` of one machine: a file, or `:memory:` for as long as it is open.

    `wait` is how long, in seconds, another process may keep the file locked.
    """

    def __init__(self, path: str, wait: float = 5.0) -> None:
        super().__init__(Database(path, wait))
        self.outbox = SqliteOutbox(self._db)
        self._watched = Watched()

    async def open(self) -> None:
        """Open the file, made where there is none; the error names what is wrong with it."""
        await self._db.open()

    async def close(self) -> None:
        """Let what was asked for happen, then close."""
        await self._db.close()

    async def ping(self) -> None:
        """Raise StoreError unless the file can be written."""
        await self._db.transaction(lambda db: None)

    # claims

    async def accept(self, claim: Claim) -> bool:
        """Keep an activity; False when its key was accepted before, finished or not."""
        changed = await self._db.changed(
            "INSERT INTO claims (key, conversation, body, accepted, attempts, progress)"
            " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
            claim.key,
            claim.conversation,
            encoded(claim.body),
            micros(claim.accepted),
            claim.attempts,
            encoded(claim.progress),
        )
        return changed == 1

    async def take(
        self, conversation: str, owner: str, now: datetime, lease: timedelta
    ) -> Claim | None:
        """Lease the oldest unfinished claim, unless a lease on it, even one's own, still runs."""
        claim = await self._db.transaction(
            lambda db: transactions.take(db, self._watched, conversation, owner, now, lease)
        )
        if claim is not None:
            self._watched.saw(claim.key, owner, micros(now + lease), now + lease)
        return claim

    async def renew(self, owner: str, now: datetime, lease: timedelta) -> tuple[str, ...]:
        """Extend all leases that `owner` holds: those just run out too, if nobody took over."""
        until = micros(now + lease)
        sql = "UPDATE claims SET lease_until = ? WHERE owner = ? AND finished IS NULL RETURNING key"
        rows = await self._db.transaction(lambda db: db.execute(sql, (until, owner)).fetchall())
        for (key,) in rows:
            self._watched.saw(key, owner, until, now + lease)
        return tuple(key for (key,) in rows)

    async def note(self, key: str, owner: str, progress: JsonObject) -> bool:
        """Merge into a claim's progress, name by name; False when `owner` does not hold it."""
        return await self._db.transaction(lambda db: transactions.note(db, key, owner, progress))

    async def finish(
        self, key: str, owner: str, now: datetime, left: JsonObject | None = None
    ) -> bool:
        """Mark a claim done; its body and progress go, its key and `left` stay until the sweep."""
        changed = await self._db.changed(
            "UPDATE claims SET finished = ?, body = '', progress = ?, owner = NULL"
            " WHERE key = ? AND owner = ? AND finished IS NULL",
            micros(now),
            encoded(left) if left else "",
            key,
            owner,
        )
        return changed == 1

    async def sent_by(self, conversation: str, activity: str) -> JsonObject | None:
        """What is left of the finished claim that this message answers, or None."""
        # Finished claims are short and a thumb is rare: an index would cost every turn a page.
        rows = await self._db.rows(
            "SELECT progress FROM claims WHERE conversation = ? AND finished IS NOT NULL"
            " AND instr(progress, ?) ORDER BY seq DESC",
            conversation,
            encoded(activity),
        )
        found = (decoded(progress) for (progress,) in rows)
        return next((left for left in found if activity in left.get("sent", ())), None)

    async def release(self, owner: str, key: str = "") -> None:
        """Hand back a claim, or without a key every claim, that `owner` holds; free at once."""
        await self._db.changed(
            "UPDATE claims SET owner = NULL, lease_until = 0"
            " WHERE owner = ? AND finished IS NULL AND ? IN ('', key)",
            owner,
            key,
        )

    async def waiting(self, now: datetime, lease: timedelta) -> tuple[str, ...]:
        """Conversations whose oldest unfinished claim nobody holds, longest waiting first."""
        rows = await self._db.rows(
            "SELECT conversation, key, owner, lease_until FROM claims WHERE seq IN"
            " (SELECT min(seq) FROM claims WHERE finished IS NULL GROUP BY conversation)"
            " ORDER BY seq"
        )
        return tuple(
            conversation
            for conversation, key, holder, until in rows
            if holder is None or self._watched.ran_out(key, holder, until, now, lease)
        )

    async def backlog(self) -> int:
        """Count unfinished claims."""
        rows = await self._db.rows("SELECT count(*) FROM claims WHERE finished IS NULL")
        return rows[0][0]

    async def oldest(self) -> datetime | None:
        """When the oldest unfinished claim was accepted."""
        rows = await self._db.rows("SELECT min(accepted) FROM claims WHERE finished IS NULL")
        return None if rows[0][0] is None else moment(rows[0][0])

    # history

    async def commit(self, outcome: Outcome, owner: str) -> bool:
        """Keep a turn's outcome as one; False, and nothing kept, when the claim was lost."""
        return await self._db.transaction(lambda db: transactions.commit(db, outcome, owner))

    async def turns(self, thread: Thread, limit: int) -> tuple[Turn, ...]:
        """The newest `limit` turns of a history by when they were asked, oldest first."""
        rows = await self._db.rows(
            "SELECT id, question, answer, asked, tokens, model, prompt, data, fold FROM turns"
            " WHERE tenant = ? AND analyst = ? AND workspace = ? AND incident = ?"
            " ORDER BY asked DESC, rowid DESC LIMIT ?",
            *thread_columns(thread),
            limit,
        )
        return transactions.turns_of(rows)

    async def forget_thread(self, thread: Thread) -> Erased:
        """Delete one history; proposals, focus and audit stay."""
        turns = await self._db.changed(
            "DELETE FROM turns WHERE tenant = ? AND analyst = ? AND workspace = ? AND incident = ?",
            *thread_columns(thread),
        )
        return Erased(turns)

    async def forget_analyst(self, tenant: str, analyst: str) -> Erased:
        """Delete an analyst's histories, focus, and proposals with their writes; not the audit."""
        return await self._db.transaction(
            lambda db: transactions.forget_analyst(db, tenant, analyst)
        )

    # focus

    async def set_focus(
        self, tenant: str, conversation: str, analyst: str, incident: IncidentRef, now: datetime
    ) -> None:
        """Remember which incident an analyst means in a conversation."""
        await self._db.changed(
            # Replacing, not updating, makes it the newest row among those of one moment.
            "INSERT OR REPLACE INTO focus VALUES (?, ?, ?, ?, ?, ?)",
            tenant,
            conversation,
            analyst,
            incident.workspace,
            incident.id,
            micros(now),
        )

    async def focus(self, tenant: str, conversation: str, analyst: str) -> IncidentRef | None:
        """The analyst's own focus in this conversation, else the conversation's newest."""
        rows = await self._db.rows(
            "SELECT workspace, incident FROM focus WHERE tenant = ? AND conversation = ?"
            " ORDER BY analyst = ? DESC, at DESC, rowid DESC LIMIT 1",
            tenant,
            conversation,
            analyst,
        )
        return IncidentRef(*rows[0]) if rows else None

    # proposals and what became of them

    async def keep_proposal(self, proposal: Proposal) -> None:
        """Keep a proposal; one that is there already stays as it is, for cards show it."""
        await self._db.transaction(lambda db: transactions.keep_proposal(db, proposal))

    async def proposal(self, proposal_id: str) -> Proposal | None:
        """The proposal a card names, or None where it was forgotten, swept or never was."""
        rows = await self._db.rows("SELECT body FROM proposals WHERE id = ?", proposal_id)
        return proposal_of(decoded(rows[0][0])) if rows else None

    async def begin_write(self, write: Write, stale: datetime | None = None) -> Write:
        """Record the intention to write, once, or in place of one that came to nothing."""
        return await self._db.transaction(lambda db: transactions.begin_write(db, write, stale))

    async def end_write(self, write: Write, audit: AuditItem) -> None:
        """Record that Sentinel has it, together with its audit item; a repeat changes nothing."""
        await self._db.transaction(lambda db: transactions.end_write(db, write, audit))

    async def writes(self, proposal_id: str) -> tuple[Write, ...]:
        """What was begun or done with a proposal, in the order of the clicks."""
        rows = await self._db.rows(
            "SELECT * FROM writes WHERE proposal = ? ORDER BY at, rowid", proposal_id
        )
        return tuple(write_of(row) for row in rows)

    async def share(self, proposal: Proposal, shared: bool, now: datetime) -> bool:
        """Let the next shift see an answer, or no longer; False where that changes nothing."""
        return await self._db.transaction(lambda db: transactions.share(db, proposal, shared, now))

    async def is_shared(self, proposal_id: str) -> bool:
        """Say whether the next shift may see an answer."""
        return bool(await self._db.rows("SELECT 1 FROM shares WHERE proposal = ?", proposal_id))

    async def shared(self, incident: IncidentRef) -> tuple[Proposal, ...]:
        """The newest 20 answers that their askers share, in the order of the sharing."""
        rows = await self._db.rows(
            "SELECT body FROM shares JOIN proposals ON id = proposal"
            " WHERE workspace = ? AND incident = ? ORDER BY at DESC, shares.rowid DESC LIMIT 20",
            incident.workspace,
            incident.id,
        )
        return tuple(proposal_of(decoded(body)) for (body,) in reversed(rows))

    # documents

    async def keep(self, key: str, value: JsonObject, now: datetime) -> None:
        """Keep one document under a name, in place of the one before."""
        await self._db.changed(
            "INSERT INTO kept VALUES (?, ?, ?)"
            " ON CONFLICT (key) DO UPDATE SET body = excluded.body, at = excluded.at",
            key,
            encoded(value),
            micros(now),
        )

    async def kept(self, key: str) -> JsonObject | None:
        """The document kept under a name, or None."""
        rows = await self._db.rows("SELECT body FROM kept WHERE key = ?", key)
        return decoded(rows[0][0]) if rows else None

    async def tally(
        self, keys: Sequence[str], period: str, amount: int, now: datetime
    ) -> tuple[int, ...]:
        """Add to the numbers kept under these names, and give the sums."""
        return await self._db.transaction(
            lambda db: transactions.tally(db, keys, period, amount, now)
        )

    async def sweep(self, now: datetime, keep: timedelta) -> None:
        """Delete what is older than `keep`, but not answers still owed, places, or the audit."""
        await self._db.transaction(lambda db: transactions.sweep(db, now, keep))
