"""The audit's chain in SQLite: each item is appended in the transaction of what it is about.

The columns beside an item are for finding it: the chain is over the item alone.
"""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
from datetime import datetime

from ..domain.chain import Ends, Mark, linked
from ..ports import AuditItem, JsonObject
from ..records import decoded, encoded
from .times import micros

_HEAD, _ANCHOR = "audit/head", "audit/anchor"


def append(db: sqlite3.Connection, item: AuditItem, claim: str | None = None) -> None:
    """Append a line to the chain; a repeat of what the same claim recorded adds none."""
    workspace, incident = (item.incident.workspace, item.incident.id) if item.incident else ("", "")
    body, at = encoded(item), micros(item.at)
    repeated = claim is not None and db.execute(
        "SELECT 1 FROM audit"
        " WHERE workspace = ? AND incident = ? AND at = ? AND item = ? AND claim = ?",
        (workspace, incident, at, body, claim),
    )
    if repeated and repeated.fetchone():
        return
    # Where somebody cut the head back, the chain breaks at the next number and goes on.
    (last,) = db.execute("SELECT max(seq) FROM audit").fetchone()
    head = _mark(db, _HEAD)
    link = linked(Mark(max(head.seq, last or 0), head.hash), decoded(body))
    db.execute(
        "INSERT INTO audit (seq, at, workspace, incident, item, claim, previous, hash)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (link.seq, at, workspace, incident, body, claim, link.previous, link.hash),
    )
    _keep(db, _HEAD, link.mark, at)


def chain_existing(db: sqlite3.Connection) -> None:
    """Chain what version 2 recorded, in its order, without the texts that it still held.

    A proposal of the same incident knows its number.
    """
    numbers: dict[str, int] = {}
    for (body,) in db.execute("SELECT body FROM proposals"):
        proposal = decoded(body)
        numbers[proposal["incident"]["id"]] = proposal["incident_number"]
    head = Mark()
    rows = db.execute("SELECT seq, item, at FROM audit ORDER BY seq").fetchall()
    for seq, body, at in rows:
        item = _without_texts(decoded(body))
        incident: JsonObject = item.get("incident") or {}
        item.setdefault("incident_number", numbers.get(incident.get("id", ""), 0))
        link = linked(head, item)
        db.execute(
            "UPDATE audit SET seq = ?, item = ?, previous = ?, hash = ? WHERE seq = ?",
            (link.seq, encoded(item), link.previous, link.hash, seq),
        )
        head = link.mark
        _keep(db, _HEAD, head, at)


def _without_texts(item: JsonObject) -> JsonObject:
    """Hashes in place of a question and of the query written for it: `forget me` is to forget."""
    detail: JsonObject = {**item.get("detail", {})}
    if item["action"] != "run":
        for name in {"question", "query"} & detail.keys():
            detail[f"{name}_sha256"] = hashlib.sha256(detail.pop(name).encode()).hexdigest()
    return {**item, "detail": detail}


def seal_existing(db: sqlite3.Connection) -> None:
    """Give what version 2 prepared for incidents the secret that its buttons are sealed with."""
    for id, body in db.execute("SELECT id, body FROM proposals").fetchall():
        proposal = decoded(body)
        if proposal["kind"] == "playbook":
            body = encoded({**proposal, "secret": secrets.token_urlsafe(16)})
            db.execute("UPDATE proposals SET body = ? WHERE id = ?", (body, id))


def ends(db: sqlite3.Connection) -> Ends:
    """Where the chain begins and ends."""
    return Ends(_mark(db, _ANCHOR), _mark(db, _HEAD))


def sweep(db: sqlite3.Connection, before: datetime) -> None:
    """Delete the oldest items up to the first from `before` or later, and keep the anchor."""
    last = db.execute(
        "SELECT seq, hash, at FROM audit WHERE seq <"
        " ifnull((SELECT min(seq) FROM audit WHERE at >= ?), 1 << 62) ORDER BY seq DESC LIMIT 1",
        (micros(before),),
    ).fetchone()
    if last is not None:
        seq, hash, at = last
        db.execute("DELETE FROM audit WHERE seq <= ?", (seq,))
        _keep(db, _ANCHOR, Mark(seq, hash), at)


def _mark(db: sqlite3.Connection, key: str) -> Mark:
    kept = db.execute("SELECT body FROM kept WHERE key = ?", (key,)).fetchone()
    return Mark(**decoded(kept[0])) if kept else Mark()


def _keep(db: sqlite3.Connection, key: str, mark: Mark, at: int) -> None:
    db.execute("INSERT OR REPLACE INTO kept VALUES (?, ?, ?)", (key, encoded(mark), at))
