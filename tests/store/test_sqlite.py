import asyncio
import resource
import sqlite3
import sys
import threading
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from bot.domain.chain import break_at_end, break_between
from bot.domain.proposal import playbook_id
from bot.errors import StoreError
from bot.local.database import Database
from bot.local.sqlite import SqliteStore
from bot.ports import Claim, Outcome, Store
from bot.ports.outgoing import Outbox
from tests.store.contract import (
    CHAT,
    INCIDENT,
    LEASE,
    NOW,
    THREAD,
    OpenStore,
    StoreContract,
    claim,
    intact,
    line,
    outcome,
    proposal,
    turn,
)
from tests.store.outbox_contract import OpenOutbox, OutboxContract

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "casemate.db"


@pytest.fixture
async def open_store(path: Path) -> AsyncIterator[OpenStore]:
    opened: list[Store] = []

    async def open_store() -> Store:
        store = SqliteStore(str(path), wait=30)
        opened.append(store)
        await store.open()
        return store

    yield open_store
    for store in opened:
        await store.close()


@pytest.fixture
async def open_outbox(path: Path) -> AsyncIterator[OpenOutbox]:
    opened: list[SqliteStore] = []

    async def open_outbox() -> Outbox:
        store = SqliteStore(str(path), wait=30)
        opened.append(store)
        await store.open()
        return store.outbox

    yield open_outbox
    for store in opened:
        await store.close()


class TestSqlite(StoreContract):
    """The contract, over a file."""


class TestOutbox(OutboxContract):
    """The outbox's contract, over the same file."""


class TestInMemory:
    async def test_it_lasts_until_it_is_closed(self) -> None:
        store = SqliteStore(":memory:")
        for _ in range(2):
            await store.open()
            assert await store.accept(claim("a"))
            await store.close()


# other processes


async def start(what: str, path: Path, name: str = "second") -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.store.second_process", what, str(path), name,
        cwd=ROOT, stdout=PIPE,
    )  # fmt: skip


async def said(process: Process) -> int:
    out, _ = await process.communicate()
    assert process.returncode == 0
    return int(out)


async def test_processes_that_start_together_share_a_new_file(
    path: Path, open_store: OpenStore
) -> None:
    both = [await start("accept", path), await start("accept", path)]
    assert sum([await said(process) for process in both]) == 500
    assert await (await open_store()).backlog() == 500

    both = [await start("drain", path, "one"), await start("drain", path, "two")]
    assert sum([await said(process) for process in both]) == 500
    worked = [item.action for item in await (await open_store()).audit(INCIDENT, 9999)]
    for chat in range(7):
        assert [action for action in worked if action.startswith(f"chat {chat}/")] == [
            f"chat {chat}/key {number}" for number in range(chat, 500, 7)
        ]


async def test_stores_that_open_together_share_a_new_file(open_store: OpenStore) -> None:
    stores = await asyncio.gather(*(open_store() for _ in range(8)))
    assert sum([await store.accept(claim("a")) for store in stores]) == 1


@pytest.mark.parametrize("turns", [1, 20, 57])
async def test_a_killed_process_leaves_whole_transactions(
    path: Path, open_store: OpenStore, turns: int
) -> None:
    process = await start("endlessly", path)
    assert process.stdout is not None
    for _ in range(turns):
        await process.stdout.readline()
    process.kill()
    await process.communicate()

    store = await open_store()
    kept = [kept.id for kept in await store.turns(THREAD, 9999)]
    lines = [item.action for item in await store.audit(INCIDENT, 9999)]
    assert len(kept) >= turns
    assert lines == [f"{what} {key}" for key in kept for what in ("asked", "answered")]
    assert all([await store.proposal(f"proposal {key}") for key in kept])
    await store.waiting(NOW, LEASE)  # a lease has to be seen unchanged for its span
    unfinished = await store.waiting(NOW + LEASE, LEASE)
    assert len(unfinished) == await store.backlog() <= 1
    for key in unfinished:
        assert await store.take(key, "me", NOW + LEASE, LEASE)
        assert await store.commit(outcome(key), "me")
        assert await store.finish(key, "me", NOW + LEASE)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


# files that cannot be used


def garbage(path: Path) -> None:
    path.write_bytes(b"this is not a database " * 999)


def another_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE bookmarks (url TEXT)")


def another_version_of_another_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 1")


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA application_id = 0x43617365")
        db.execute("PRAGMA user_version = 99")


def contents(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (Path.mkdir, "cannot be opened; the folder must exist and be writable"),
        (garbage, "is damaged, or no SQLite database"),
        (another_program, "belongs to another program; name another file"),
        (another_version_of_another_program, "belongs to another program; name another file"),
        (newer, "was written by a newer Casemate (its version is 99, this one reads 4)"),
    ],
)
async def test_a_file_that_is_not_ours_is_named_and_left_alone(
    path: Path, spoil, sentence: str
) -> None:
    spoil(path)
    before = contents(path)
    store = SqliteStore(str(path))
    with pytest.raises(StoreError) as raised:
        await store.open()
    assert str(path) in raised.value.sentence and sentence in raised.value.sentence
    assert contents(path) == before
    assert not [thread for thread in threading.enumerate() if thread.name == "sqlite"]
    with pytest.raises(StoreError):
        await store.ping()


async def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "casemate.db"
    with pytest.raises(StoreError, match=r"missing/casemate\.db cannot be used: it cannot be op"):
        await SqliteStore(str(path)).open()


@pytest.mark.parametrize("lock", ["BEGIN EXCLUSIVE", "BEGIN; SELECT * FROM sqlite_master"])
async def test_a_file_locked_by_another_program_is_named(path: Path, lock: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA application_id = 0x43617365")
        for statement in lock.split("; "):
            other.execute(statement).fetchall()
        with pytest.raises(StoreError, match="another process keeps it locked"):
            await SqliteStore(str(path), wait=0).open()


# files of an older version


def layout(path: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as db:
        return sorted(db.execute("SELECT name, sql FROM sqlite_master WHERE sql NOT NULL"))


def older(path: Path, version: int) -> None:
    script = (Path(__file__).parent / f"version_{version}.sql").read_text("utf-8")
    with closing(sqlite3.connect(path)) as db:
        db.executescript(script)


@pytest.fixture
def version_1(path: Path) -> None:
    older(path, 1)


@pytest.fixture
def version_2(path: Path) -> None:
    older(path, 2)


async def test_an_older_file_is_brought_up_to_date_and_keeps_all_it_has(
    version_1, path: Path, open_store: OpenStore, tmp_path: Path
) -> None:
    stores = await asyncio.gather(*(open_store() for _ in range(4)))
    store = stores[0]
    assert await store.kept("schema/soc") is None
    await store.keep("schema/soc", {"tables": []}, NOW)
    assert [turn.answer for turn in await store.turns(THREAD, 9)] == ["answer a"]
    assert len(await store.audit(INCIDENT, 9)) == 2
    assert await store.proposal("proposal a") == proposal("proposal a")
    assert len(await store.writes("proposal a")) == 1
    assert await store.waiting(NOW, LEASE) == (CHAT,)
    assert not await store.accept(claim("a"))

    fresh = SqliteStore(str(tmp_path / "fresh.db"))
    await fresh.open()
    await fresh.close()
    assert layout(path) == layout(tmp_path / "fresh.db")
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (4,)


async def test_an_update_that_fails_leaves_the_older_file_as_it_was(version_1, path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE kept (what TEXT)")
    before = layout(path)
    with pytest.raises(StoreError, match="cannot be used"):
        await SqliteStore(str(path)).open()
    assert layout(path) == before
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)


async def test_an_audit_that_had_no_chain_gets_one_in_its_order(
    version_2, open_store: OpenStore
) -> None:
    stores = await asyncio.gather(*(open_store() for _ in range(4)))
    store = stores[0]
    items = await intact(store)
    actions = ["question", "kql", "run", "feedback", "write"]
    assert [item["action"] for item in items] == actions
    assert [item["incident_number"] for item in items] == [42, 42, 42, 0, 42]
    assert [item.action for item in await store.audit(INCIDENT, 9)] == [
        "question",
        "write",
        "kql",
        "run",
    ]
    await store.record(line("closed"))
    assert [item["action"] for item in await intact(store)] == [*actions, "closed"]


async def test_an_older_audit_holds_no_questions_any_more(
    version_2, path: Path, open_store: OpenStore
) -> None:
    store = await open_store()
    question, kql, run, *_ = await intact(store)
    asked = "is the Müller account breached?"
    assert question["detail"]["question_sha256"] == sha256(asked.encode()).hexdigest()
    assert set(kql["detail"]) >= {"question_sha256", "query_sha256", "outcome"}
    assert run["detail"]["query"] == "OfficeActivity | take 5", "what was run was done"
    await store.forget_analyst("contoso", "jane")
    await store.close()
    left = contents(path)
    assert b"breached" not in left and b"mailbox" not in left and b"mueller" not in left
    assert b"OfficeActivity | take 5" in left


async def test_what_an_older_version_prepared_gets_buttons_that_nobody_can_guess(
    version_2, open_store: OpenStore
) -> None:
    store = await open_store()
    prepared = await store.proposal(playbook_id(INCIDENT))
    assert prepared is not None and len(prepared.secret) >= 22
    assert prepared.button_id("contoso", CHAT) != replace(prepared, secret="").button_id(
        "contoso", CHAT
    )
    asked = await store.proposal("p")
    assert asked == proposal("p") and asked.secret == ""


async def test_a_chaining_that_fails_leaves_the_older_file_as_it_was(version_2, path: Path) -> None:
    before = layout(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("UPDATE audit SET item = ? WHERE seq = 3", (b"{",))
    with pytest.raises(StoreError, match="can no longer be read"):
        await SqliteStore(str(path)).open()
    assert layout(path) == before


# somebody else at the audit


async def broken(store: Store) -> int | None:
    """The first number at which the chain does not hold."""
    ends = await store.ends()
    at = ends.anchor
    for link in await store.links(at.seq, 99):
        if found := break_between(at, link):
            return found.seq
        at = link.mark
    found = break_at_end(at, ends.head)
    return found.seq if found else None


@pytest.mark.parametrize(
    ("tampering", "seq"),
    [
        ("UPDATE audit SET item = CAST(replace(item, 'Jane', 'Joe') AS BLOB) WHERE seq = 3", 3),
        ("UPDATE audit SET hash = '' WHERE seq = 5", 5),
        ("UPDATE audit SET previous = '' WHERE seq = 2", 2),
        ("DELETE FROM audit WHERE seq = 2", 2),
        ("DELETE FROM audit WHERE seq > 3", 4),
        ("DELETE FROM audit", 1),
        (
            "UPDATE audit SET seq = -seq; UPDATE audit SET seq = 4 WHERE seq = -2;"
            "UPDATE audit SET seq = 2 WHERE seq = -4; UPDATE audit SET seq = -seq WHERE seq < 0",
            2,
        ),
        ("DELETE FROM audit WHERE seq <= 2", 1),
        ("DELETE FROM kept", 6),
        ('UPDATE kept SET body = \'{"seq":2,"hash":""}\'', 6),
    ],
)
async def test_tampering_shows_and_the_recording_goes_on(
    path: Path, open_store: OpenStore, tampering: str, seq: int
) -> None:
    store = await open_store()
    for n in range(5):
        await store.record(line(f"step {n}"))
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript(tampering)
    for _ in range(3):
        await store.record(line("later"))
    assert await broken(store) == seq
    assert len(await store.links(5, 9)) == 3


# trouble while it is open


@contextmanager
def locked(path: Path) -> Iterator[None]:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield


@contextmanager
def full_disk(path: Path) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("trouble", "sentence"),
    [(locked, "another process keeps it locked"), (full_disk, "the disk does not read or write")],
)
async def test_trouble_is_told_and_passes(path: Path, trouble, sentence: str) -> None:
    store = SqliteStore(str(path), wait=0)
    await store.open()
    await store.accept(claim("a"))
    await store.take(CHAT, "me", NOW, LEASE)
    with trouble(path):
        with pytest.raises(StoreError, match=sentence):
            await store.accept(claim("b" * 99_999))
        with pytest.raises(StoreError, match=sentence):
            await store.commit(Outcome("a", {"reply": "a" * 99_999}, THREAD, turn("a")), "me")
        assert await store.turns(THREAD, 9) == ()
    await store.ping()
    assert await store.turns(THREAD, 9) == ()
    assert await store.backlog() == 1
    assert await store.commit(outcome("a"), "me")
    await store.close()


def overwrite_the_last_pages(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:-40_960].ljust(len(whole), b"\xff"))


async def test_damage_is_told(path: Path, open_store: OpenStore) -> None:
    store = await open_store()
    for number in range(300):
        await store.keep_proposal(proposal(f"{number}"))
    await store.close()
    overwrite_the_last_pages(path)
    store = await open_store()
    with pytest.raises(StoreError, match="it is damaged"):
        await store.proposal("299")


@pytest.mark.parametrize("body", ["{", "[]", "{}", '{"provenance": {}}'])
async def test_a_proposal_or_line_nobody_can_read_is_told(
    path: Path, open_store: OpenStore, body: str
) -> None:
    store = await open_store()
    await store.keep_proposal(proposal("p"))
    await store.accept(claim("a"))
    await store.take(CHAT, "me", NOW, LEASE)
    await store.commit(outcome("a"), "me")
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("UPDATE proposals SET body = ?", (body.encode(),))
        db.execute("UPDATE audit SET item = ?", (body.encode(),))
    with pytest.raises(StoreError, match="can no longer be read"):
        await store.proposal("p")
    with pytest.raises(StoreError, match="can no longer be read"):
        await store.audit(INCIDENT, 9)


# the file and the thread


async def test_only_the_owner_may_read_the_files(path: Path, open_store: OpenStore) -> None:
    await open_store()
    files = list(path.parent.iterdir())
    assert sorted(file.name.removeprefix(path.name) for file in files) == ["", "-shm", "-wal"]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


async def test_what_is_forgotten_is_gone_from_the_file(path: Path, open_store: OpenStore) -> None:
    store = await open_store()
    await store.accept(claim("a"))
    await store.take(CHAT, "me", NOW, LEASE)
    await store.commit(outcome("a"), "me")
    await store.finish("a", "me", NOW)
    await store.forget_analyst(THREAD.tenant, THREAD.analyst)
    await store.close()
    left = contents(path).replace(b"answered a", b"")
    assert b"answer a" not in left and b"question a" not in left


async def test_calls_happen_in_order_and_before_the_close(path: Path) -> None:
    store = SqliteStore(str(path))
    await store.open()
    accepting = [asyncio.create_task(store.accept(claim(f"{n}", f"{n}"))) for n in range(50)]
    await asyncio.sleep(0)
    await store.close()
    assert await asyncio.gather(*accepting) == [True] * 50
    assert not [thread for thread in threading.enumerate() if thread.name == "sqlite"]
    await store.open()
    assert await store.waiting(NOW, LEASE) == tuple(f"{n}" for n in range(50))
    await store.close()


async def test_a_cancelled_call_happens_all_the_same(open_store: OpenStore) -> None:
    complaints: list[dict] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, about: complaints.append(about))
    store = await open_store()
    accepting = asyncio.create_task(store.accept(claim("a")))
    await asyncio.sleep(0)
    accepting.cancel()
    assert await store.backlog() == 1
    assert accepting.cancelled() and complaints == []


def test_a_loop_that_ends_too_early_harms_nobody(path: Path) -> None:
    async def leave_early() -> SqliteStore:
        store = SqliteStore(str(path))
        await store.open()
        leaving = asyncio.create_task(store.accept(claim("a")))
        await asyncio.sleep(0)
        leaving.cancel()
        return store

    store = asyncio.run(leave_early())

    async def come_back() -> int:
        backlog = await store.backlog()
        await store.close()
        return backlog

    assert asyncio.run(come_back()) == 1


class TestWritesThatWait:
    """They are committed as one, and yet each is kept or fails for itself."""

    @pytest.fixture
    async def db(self, path: Path) -> AsyncIterator[Database]:
        db = Database(str(path), wait=1)
        await db.open()
        await db.changed("CREATE TABLE t (n INTEGER PRIMARY KEY)")
        yield db
        await db.close()

    async def test_one_commit_for_all(self, db: Database) -> None:
        begun: list[str] = []
        await db.transaction(lambda on: on.set_trace_callback(begun.append))
        with held(db):
            adding = [asyncio.ensure_future(db.changed(ADD, n)) for n in range(5)]
        assert await asyncio.gather(*adding) == [1] * 5
        assert begun.count("COMMIT") == 2  # that of what held the thread is the other
        assert await db.rows("SELECT count(*) FROM t") == [(5,)]

    async def test_one_that_fails_takes_no_other_with_it(self, db: Database) -> None:
        def lost(on: sqlite3.Connection) -> None:
            on.execute(ADD, (7,))
            raise LookupError

        with held(db):
            adding = [
                asyncio.ensure_future(each)
                for each in (
                    db.changed(ADD, 1),
                    db.transaction(lost),
                    db.changed(ADD, 1),
                    db.changed(ADD, 2),
                )
            ]
        first, broken, twice, last = await asyncio.gather(*adding, return_exceptions=True)
        assert (first, type(broken), type(twice), last) == (1, LookupError, StoreError, 1)
        assert await db.rows("SELECT n FROM t") == [(1,), (2,)]

    async def test_a_dead_holders_claim_is_taken_over_beside_one_that_fails(
        self, path: Path
    ) -> None:
        store = SqliteStore(str(path), wait=1)
        await store.open()
        await store.accept(claim("a"))
        await store.take(CHAT, "dead", NOW, LEASE)
        await store.waiting(NOW, LEASE)

        def lost(on: sqlite3.Connection) -> None:
            raise LookupError

        with held(store._db):
            calls = [
                asyncio.ensure_future(each)
                for each in (
                    store.take(CHAT, "me", NOW + LEASE, LEASE),
                    store._db.transaction(lost),
                )
            ]
        taken, _ = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(taken, Claim)
        await store.close()

    async def test_a_read_sees_what_was_asked_for_before_it(self, db: Database) -> None:
        with held(db):
            calls = [
                asyncio.ensure_future(each)
                for each in (db.changed(ADD, 1), db.rows("SELECT n FROM t"), db.changed(ADD, 2))
            ]
        assert await asyncio.gather(*calls) == [1, [(1,)], 1]


ADD = "INSERT INTO t VALUES (?)"


@contextmanager
def held(db: Database) -> Iterator[None]:
    """Keep the database's thread busy, so that what is asked for meanwhile waits together."""
    gate = threading.Event()
    holding = asyncio.ensure_future(db.transaction(lambda on: gate.wait(5)))
    yield
    # The tasks that ask begin before this, and so have queued what they ask for.
    asyncio.get_running_loop().call_soon(gate.set)
    holding.add_done_callback(asyncio.Future.result)
