"""The tables of the SQLite store, and how a database file is opened or made."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ..errors import StoreError
from .chain import chain_existing, seal_existing

_APPLICATION = 0x43617365  # "Case": tells our database from another program's

# Times are microseconds since 1970 in UTC; JSON columns are as `bot.records` writes them. Every
# index is one more page to write in each transaction: there is none that a sort or a short scan
# can stand in for.
_TABLES = (
    # An activity owed an answer, in order of arrival. Once finished its key stays, so that a late
    # repeat is recognised, and in `progress` which messages answer it. A claim that nobody holds
    # has no owner.
    """CREATE TABLE claims (
        seq INTEGER PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,
        conversation TEXT NOT NULL,
        body BLOB NOT NULL,
        accepted INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        progress BLOB NOT NULL,
        owner TEXT,
        lease_until INTEGER NOT NULL DEFAULT 0,
        finished INTEGER
    )""",
    "CREATE INDEX claims_open ON claims (conversation, seq) WHERE finished IS NULL",
    """CREATE TABLE turns (
        tenant TEXT NOT NULL,
        analyst TEXT NOT NULL,
        workspace TEXT NOT NULL,
        incident TEXT NOT NULL,
        id TEXT NOT NULL,
        question TEXT NOT NULL,
        answer TEXT NOT NULL,
        asked INTEGER NOT NULL,
        tokens INTEGER NOT NULL,
        model TEXT NOT NULL,
        prompt TEXT NOT NULL,
        UNIQUE (tenant, analyst, workspace, incident, id)
    )""",
    """CREATE TABLE focus (
        tenant TEXT NOT NULL,
        conversation TEXT NOT NULL,
        analyst TEXT NOT NULL,
        workspace TEXT NOT NULL,
        incident TEXT NOT NULL,
        at INTEGER NOT NULL,
        PRIMARY KEY (tenant, conversation, analyst)
    )""",
    """CREATE TABLE proposals (
        id TEXT PRIMARY KEY,
        tenant TEXT NOT NULL,
        asked_by TEXT,
        created INTEGER NOT NULL,
        body BLOB NOT NULL
    )""",
    """CREATE TABLE writes (
        proposal TEXT NOT NULL,
        kind TEXT NOT NULL,
        position INTEGER NOT NULL,
        by_id TEXT NOT NULL,
        by_name TEXT NOT NULL,
        at INTEGER NOT NULL,
        done INTEGER NOT NULL,
        PRIMARY KEY (proposal, kind, position)
    )""",
    """CREATE TABLE places (
        tenant TEXT NOT NULL,
        conversation TEXT NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (tenant, conversation)
    )""",
    """CREATE TABLE outbox (
        key TEXT PRIMARY KEY,
        place TEXT NOT NULL,
        body BLOB NOT NULL,
        due INTEGER NOT NULL,
        activity TEXT
    )""",
    "CREATE INDEX outbox_due ON outbox (due) WHERE activity IS NULL",
    """CREATE TABLE audit (
        seq INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        workspace TEXT NOT NULL,
        incident TEXT NOT NULL,
        item BLOB NOT NULL,
        claim TEXT
    )""",
    "CREATE INDEX audit_incident ON audit (workspace, incident, at, claim)",
)
# What each version added: a new file gets all of it, an older one what it lacks. What stands here
# was released, so it does not change.
_VERSIONS: tuple[tuple[str | Callable[[sqlite3.Connection], None], ...], ...] = (
    _TABLES,
    (
        "CREATE TABLE kept (key TEXT PRIMARY KEY, body BLOB NOT NULL, at INTEGER NOT NULL)",
        "ALTER TABLE turns ADD COLUMN data TEXT NOT NULL DEFAULT ''",
        # Answers that the next shift may see.
        """CREATE TABLE shares (
            proposal TEXT PRIMARY KEY,
            workspace TEXT NOT NULL,
            incident TEXT NOT NULL,
            at INTEGER NOT NULL
        )""",
        "CREATE INDEX shares_incident ON shares (workspace, incident, at)",
        # An incident in a place: what it is to show and what it shows, by `activity`.
        "DROP TABLE outbox",
        "DELETE FROM places",
        """CREATE TABLE announcements (
            place TEXT NOT NULL,
            workspace TEXT NOT NULL,
            incident TEXT NOT NULL,
            wanted TEXT NOT NULL,
            seen INTEGER NOT NULL,
            due INTEGER NOT NULL,
            sent TEXT NOT NULL DEFAULT '',
            activity TEXT NOT NULL DEFAULT '',
            digest INTEGER NOT NULL DEFAULT 0,
            posted INTEGER,
            UNIQUE (place, workspace, incident)
        )""",
        "CREATE INDEX announcements_due ON announcements (place, due) WHERE wanted != sent",
        "CREATE INDEX announcements_incident ON announcements (workspace, incident)",
        "CREATE TABLE leases (name TEXT PRIMARY KEY, owner TEXT NOT NULL, until INTEGER NOT NULL)",
    ),
    (
        "ALTER TABLE audit ADD COLUMN previous TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE audit ADD COLUMN hash TEXT NOT NULL DEFAULT ''",
        chain_existing,
        seal_existing,
    ),
    (
        # What the turns before came to, and when the oldest of them was asked.
        "ALTER TABLE turns ADD COLUMN fold BLOB",
        "ALTER TABLE turns ADD COLUMN fold_first INTEGER",
        # Without it the newest turn of a thousand costs 3.5 ms.
        "CREATE INDEX turns_newest ON turns (tenant, analyst, workspace, incident, asked)",
    ),
)
_VERSION = len(_VERSIONS)

_REASONS = {
    sqlite3.SQLITE_BUSY: "another process keeps it locked",
    sqlite3.SQLITE_LOCKED: "another process keeps it locked",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_READONLY: "it is read-only",
    sqlite3.SQLITE_PERM: "it may not be opened",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; the folder must exist and be writable",
    sqlite3.SQLITE_IOERR: "the disk does not read or write",
    sqlite3.SQLITE_CORRUPT: "it is damaged",
    sqlite3.SQLITE_NOTADB: "it is damaged, or no SQLite database",
}


def reason(error: sqlite3.Error) -> str:
    """Say what is wrong with a database in half a sentence, without SQL or values."""
    # The lowest byte of the extended code; errors of Python's own module have none.
    return _REASONS.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, "SQLite failed")


def connect(path: str, wait: float) -> sqlite3.Connection:
    """Open a database, made where there is none, waiting `wait` seconds for other processes.

    Raises StoreError, naming the file, for one that is unreadable, damaged, of a newer Casemate,
    or not Casemate's.
    """
    file = Path(path)
    fresh = path != ":memory:" and not file.exists()
    try:
        db = sqlite3.connect(path, timeout=wait, isolation_level=None)
        try:
            if fresh:
                file.chmod(0o600)  # the -wal and -shm files follow it
            _prepare(db, path)
        except BaseException:
            db.close()
            raise
    except sqlite3.Error as error:
        raise StoreError(f"The database {path} cannot be used: {reason(error)}.") from error
    return db


def _prepare(db: sqlite3.Connection, path: str) -> None:
    with db:
        db.execute("BEGIN")
        _refuse_others(db, path)
    _write_ahead(db)
    # Outlives any death of the process; a power cut may cost the last moments, never the file.
    db.execute("PRAGMA synchronous = NORMAL")
    # What an analyst has forgotten is not left in the file's free pages.
    db.execute("PRAGMA secure_delete = ON")
    with db:
        db.execute("BEGIN IMMEDIATE")
        if (version := _number(db, "PRAGMA user_version")) < _VERSION:
            for step in (each for added in _VERSIONS[version:] for each in added):
                if isinstance(step, str):
                    db.execute(step)
                else:
                    step(db)
            db.execute(f"PRAGMA application_id = {_APPLICATION}")
            db.execute(f"PRAGMA user_version = {_VERSION}")


def _refuse_others(db: sqlite3.Connection, path: str) -> None:
    application = _number(db, "PRAGMA application_id")
    version = _number(db, "PRAGMA user_version")
    empty = application == version == _number(db, "SELECT count(*) FROM sqlite_master") == 0
    if application != _APPLICATION and not empty:
        raise StoreError(f"The database {path} belongs to another program; name another file.")
    if version > _VERSION:
        raise StoreError(
            f"The database {path} was written by a newer Casemate (its version is {version}, "
            f"this one reads {_VERSION}); update Casemate or name another file."
        )


def _write_ahead(db: sqlite3.Connection) -> None:
    """Switch to write-ahead logging, so that readers and the one writer do not wait.

    Processes that switch a new database at the same moment are told BUSY at once, whatever the
    timeout: SQLite sees a deadlock. A write lock, for which it does wait, lets the other finish.
    """
    for _ in range(2):
        with suppress(sqlite3.OperationalError):
            db.execute("PRAGMA journal_mode = WAL")
            return
        db.execute("BEGIN IMMEDIATE")
        db.execute("ROLLBACK")
    db.execute("PRAGMA journal_mode = WAL")


def _number(db: sqlite3.Connection, query: str) -> int:
    return db.execute(query).fetchone()[0]
