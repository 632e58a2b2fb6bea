"""What the store does in more than one statement, and how values become rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from ..domain.announcement import NEWS
from ..domain.lease import Watched
from ..domain.proposal import Proposal, Write
from ..domain.transcript import Thread, Turn
from ..ports import AuditItem, Claim, Erased, JsonObject, Outcome
from ..records import decoded, encoded, fold_of
from .chain import append
from .times import micros, moment


def thread_columns(thread: Thread) -> tuple[str, str, str, str]:
    """The columns that key a history."""
    return thread.tenant, thread.analyst, thread.incident.workspace, thread.incident.id


def turns_of(rows: Sequence[tuple[Any, ...]]) -> tuple[Turn, ...]:
    """Read turns from rows that come newest first, in the order of `Turn`'s fields.

    Of their folds only the newest is read: it has the others in it, and each takes 50 microseconds.
    """
    folding = next((row for row in rows if row[-1]), None)
    turns: list[Turn] = []
    for row in reversed(rows):
        id, question, answer, asked, *rest, fold = row
        made = fold_of(decoded(fold)) if row is folding else None
        turns.append(Turn(id, question, answer, moment(asked), *rest, fold=made))
    return tuple(turns)


def write_of(row: tuple[Any, ...]) -> Write:
    """Read a write from its row."""
    proposal, kind, index, by_id, by_name, at, done = row
    return Write(proposal, kind, index, by_id, by_name, moment(at), bool(done))


def take(
    db: sqlite3.Connection,
    watched: Watched,
    conversation: str,
    owner: str,
    now: datetime,
    lease: timedelta,
) -> Claim | None:
    """Lease the oldest unfinished claim, unless a lease on it still runs."""
    row = db.execute(
        "SELECT seq, owner, lease_until, key, body, accepted, attempts, progress FROM claims"
        " WHERE conversation = ? AND finished IS NULL ORDER BY seq LIMIT 1",
        (conversation,),
    ).fetchone()
    if row is None:
        return None
    seq, holder, until, key, body, accepted, attempts, progress = row
    if holder is not None and not watched.ran_out(key, holder, until, now, lease):
        return None
    db.execute(
        "UPDATE claims SET owner = ?, lease_until = ?, attempts = attempts + 1 WHERE seq = ?",
        (owner, micros(now + lease), seq),
    )
    return Claim(
        key, conversation, decoded(body), moment(accepted), attempts + 1, decoded(progress)
    )


def note(db: sqlite3.Connection, key: str, owner: str, progress: JsonObject) -> bool:
    """Merge into the progress of a claim; False when `owner` does not hold it."""
    row = db.execute(
        "SELECT progress FROM claims WHERE key = ? AND owner = ? AND finished IS NULL",
        (key, owner),
    ).fetchone()
    if row is None:
        return False
    merged = encoded(decoded(row[0]) | progress)
    db.execute("UPDATE claims SET progress = ? WHERE key = ?", (merged, key))
    return True


def commit(db: sqlite3.Connection, outcome: Outcome, owner: str) -> bool:
    """Keep all of an outcome; False, and nothing kept, when `owner` does not hold the claim."""
    if not note(db, outcome.claim, owner, outcome.progress):
        return False
    if outcome.thread is not None and outcome.turn is not None:
        turn = outcome.turn
        db.execute(
            "INSERT INTO turns VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT DO NOTHING",
            (
                *thread_columns(outcome.thread),
                turn.id,
                turn.question,
                turn.answer,
                micros(turn.asked),
                turn.tokens,
                turn.model,
                turn.prompt,
                turn.data,
                encoded(turn.fold) if turn.fold else None,
                micros(turn.fold.first) if turn.fold else None,
            ),
        )
    if outcome.proposal is not None:
        keep_proposal(db, outcome.proposal)
    for item in outcome.audit:
        append(db, item, outcome.claim)
    return True


def keep_proposal(db: sqlite3.Connection, proposal: Proposal) -> None:
    """Add a proposal, once for its id."""
    db.execute(
        "INSERT INTO proposals VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (
            proposal.id,
            proposal.tenant,
            proposal.provenance.asked_by_id or None,
            micros(proposal.created),
            encoded(proposal),
        ),
    )


def begin_write(db: sqlite3.Connection, write: Write, stale: datetime | None) -> Write:
    """Add a write that is not done, or take a stale one over; whose it is comes back."""
    db.execute(
        "INSERT INTO writes VALUES (?, ?, ?, ?, ?, ?, 0) ON CONFLICT DO UPDATE"
        " SET by_id = excluded.by_id, by_name = excluded.by_name, at = excluded.at"
        " WHERE done = 0 AND at < ?",
        (*_write_columns(write), micros(stale) if stale else 0),
    )
    stored = db.execute(
        "SELECT * FROM writes WHERE proposal = ? AND kind = ? AND position = ?",
        (write.proposal, write.kind, write.index),
    )
    return write_of(stored.fetchone())


def end_write(db: sqlite3.Connection, write: Write, audit: AuditItem) -> None:
    """Mark a write done and record it, unless that was done before.

    A write whose beginning was forgotten meanwhile is on the incident all the same: it is kept.
    """
    ended = db.execute(
        "INSERT INTO writes VALUES (?, ?, ?, ?, ?, ?, 1)"
        " ON CONFLICT (proposal, kind, position) DO UPDATE SET done = 1 WHERE done = 0",
        _write_columns(write),
    )
    if ended.rowcount:
        append(db, audit)


def share(db: sqlite3.Connection, proposal: Proposal, shared: bool, now: datetime) -> bool:
    """Add or take back a share; False where it was so before, or the proposal is gone."""
    if not shared:
        taken = db.execute("DELETE FROM shares WHERE proposal = ?", (proposal.id,))
        return taken.rowcount == 1
    incident = proposal.incident
    added = db.execute(
        "INSERT INTO shares SELECT id, ?, ?, ? FROM proposals WHERE id = ? ON CONFLICT DO NOTHING",
        (incident.workspace, incident.id, micros(now), proposal.id),
    )
    return added.rowcount == 1


def tally(
    db: sqlite3.Connection, keys: Sequence[str], period: str, amount: int, now: datetime
) -> tuple[int, ...]:
    """Add to kept numbers; one of an earlier period begins anew."""
    sums: list[int] = []
    for key in keys:
        row = db.execute("SELECT body FROM kept WHERE key = ?", (key,)).fetchone()
        last: JsonObject = decoded(row[0]) if row else {"period": "", "sum": 0}
        total: int = amount + (last["sum"] if last["period"] >= period else 0)
        if amount:
            body = encoded({"period": max(period, last["period"]), "sum": total})
            db.execute("INSERT OR REPLACE INTO kept VALUES (?, ?, ?)", (key, body, micros(now)))
        sums.append(total)
    return tuple(sums)


def forget_analyst(db: sqlite3.Connection, tenant: str, analyst: str) -> Erased:
    """Delete histories, focus, and proposals with their writes and shares."""
    whose = (tenant, analyst)
    db.execute("DELETE FROM focus WHERE tenant = ? AND analyst = ?", whose)
    db.execute(
        "DELETE FROM writes WHERE proposal IN"
        " (SELECT id FROM proposals WHERE tenant = ? AND asked_by = ?)",
        whose,
    )
    db.execute(
        "DELETE FROM shares WHERE proposal IN"
        " (SELECT id FROM proposals WHERE tenant = ? AND asked_by = ?)",
        whose,
    )
    turns = db.execute("DELETE FROM turns WHERE tenant = ? AND analyst = ?", whose)
    proposals = db.execute("DELETE FROM proposals WHERE tenant = ? AND asked_by = ?", whose)
    return Erased(turns.rowcount, proposals.rowcount)


def sweep(db: sqlite3.Connection, now: datetime, keep: timedelta) -> None:
    """Delete what is older than `keep`, but not answers still owed, places, or the audit."""
    old = (micros(now - keep),)
    db.execute("DELETE FROM claims WHERE finished < ?", old)
    db.execute("DELETE FROM turns WHERE asked < ?", old)
    # A fold is not kept longer than what it was made from; the desk makes it anew from the rest.
    db.execute("UPDATE turns SET fold = NULL, fold_first = NULL WHERE fold_first < ?", old)
    db.execute("DELETE FROM focus WHERE at < ?", old)
    db.execute(
        "DELETE FROM shares WHERE proposal IN (SELECT id FROM proposals WHERE created < ?)", old
    )
    db.execute("DELETE FROM proposals WHERE created < ?", old)
    db.execute("DELETE FROM writes WHERE at < ?", old)
    # While an incident is news, that it was announced and prepared is not forgotten.
    old_news = (micros(now - max(keep, NEWS)),)
    db.execute("DELETE FROM announcements WHERE due < ?", old_news)
    db.execute("DELETE FROM kept WHERE at < ? AND key NOT LIKE 'audit/%'", old_news)
    db.execute("DELETE FROM leases WHERE until < ?", old_news)


def _write_columns(write: Write) -> tuple[Any, ...]:
    """All columns of a write but `done`."""
    at = micros(write.at)
    return write.proposal, write.kind, write.index, write.by_id, write.by_name, at
