"""Every accepted activity is worked on once and in order, whatever fails in between."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bot.errors import StoreError, TooBusy, Undelivered
from bot.local.sqlite import SqliteStore
from bot.ports import Claim, JsonObject
from bot.teams.turns import LEASE, MAX_ATTEMPTS, PATIENCE, Turns
from tests.clock import FakeClock
from tests.teams.conftest import until

Work = Callable[[Claim], Awaitable[JsonObject | None]]


class Desk:
    """One store file, and as many replicas over it as a test starts."""

    def __init__(self, stack: AsyncExitStack, clock: FakeClock, path: Path) -> None:
        self.stack = stack
        self.clock = clock
        self.path = path
        self.worked: list[tuple[str, str]] = []
        self.stores: list[SqliteStore] = []

    async def replica(
        self,
        owner: str,
        work: Work | None = None,
        store: SqliteStore | None = None,
        **limits: int,
    ) -> Turns:
        store = store or SqliteStore(str(self.path), wait=0.01)
        await store.open()
        self.stack.push_async_callback(store.close)
        self.stores.append(store)

        async def at_once(claim: Claim) -> JsonObject | None:
            self.worked.append((owner, claim.key))
            return {}

        turns = Turns(store, self.clock, work or at_once, owner=owner, **limits)
        turns.start()
        self.stack.push_async_callback(turns.stop, 0.0)
        return turns

    def claim(self, key: str, conversation: str = "a:chat") -> Claim:
        return Claim(key, conversation, {"text": key}, self.clock.now())

    @property
    def keys(self) -> list[str]:
        return [key for _, key in self.worked]

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.path)) as db:
            return db.execute(sql).fetchall()

    @property
    def owed(self) -> int:
        return self.rows("SELECT count(*) FROM claims WHERE finished IS NULL")[0][0]

    async def until(self, happened: Callable[[], Any], seconds: float = 400.0) -> None:
        await until(self.clock, happened, seconds)

    async def pass_time(self, seconds: float) -> None:
        end = self.clock.monotonic() + seconds
        await self.until(lambda: self.clock.monotonic() >= end)


@pytest.fixture
async def desk(stack: AsyncExitStack, clock: FakeClock, tmp_path: Path) -> AsyncIterator[Desk]:
    yield Desk(stack, clock, tmp_path / "turns.db")


# order


async def test_a_conversation_is_worked_on_in_order_and_conversations_side_by_side(
    desk: Desk,
) -> None:
    running: set[str] = set()
    together = 0
    gates: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def work(claim: Claim) -> JsonObject | None:
        nonlocal together
        assert claim.conversation not in running
        running.add(claim.conversation)
        together = max(together, len(running))
        await gates[claim.conversation].wait()
        desk.worked.append(("one", claim.key))
        running.discard(claim.conversation)
        return {}

    turns = await desk.replica("one", work)
    for number in range(5):
        for chat in ("a", "b", "c"):
            await turns.accept(desk.claim(f"{chat}{number}", chat))
    await desk.until(lambda: together == 3)
    for gate in list(gates.values()):
        gate.set()
    await desk.until(lambda: len(desk.worked) == 15)
    for chat in ("a", "b", "c"):
        assert [k for k in desk.keys if k[0] == chat] == [f"{chat}{n}" for n in range(5)]
    await desk.until(lambda: desk.owed == 0)


async def test_a_repeat_is_worked_on_once(desk: Desk) -> None:
    turns = await desk.replica("one")
    for _ in range(3):
        await turns.accept(desk.claim("k"))
    await desk.until(lambda: desk.owed == 0)
    await turns.accept(desk.claim("k"))
    await desk.pass_time(30)
    assert desk.keys == ["k"]


async def test_two_replicas_work_each_claim_once_and_in_order(desk: Desk) -> None:
    async def work(claim: Claim) -> JsonObject | None:
        await asyncio.sleep(0)
        desk.worked.append(("", claim.key))
        return {}

    replicas = [await desk.replica("one", work), await desk.replica("two", work)]
    for number in range(60):
        for chat in range(5):
            await replicas[(number + chat) % 2].accept(desk.claim(f"{chat}/{number}", str(chat)))
    await desk.until(lambda: desk.owed == 0)
    assert len(desk.keys) == 300
    for chat in range(5):
        mine = [key for key in desk.keys if key.startswith(f"{chat}/")]
        assert mine == [f"{chat}/{number}" for number in range(60)]


async def test_no_more_than_so_many_at_once(desk: Desk) -> None:
    running = most = 0
    go = asyncio.Event()

    async def work(claim: Claim) -> JsonObject | None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await go.wait()
        running -= 1
        return {}

    turns = await desk.replica("one", work, at_once=3)
    for number in range(10):
        await turns.accept(desk.claim(str(number), str(number)))
    await desk.until(lambda: running == 3)
    await desk.pass_time(30)
    assert most == 3
    go.set()
    await desk.until(lambda: desk.owed == 0)
    assert most == 3


async def test_no_more_are_taken_than_there_is_room_for(desk: Desk) -> None:
    go = asyncio.Event()

    async def work(claim: Claim) -> JsonObject | None:
        await go.wait()
        return {}

    turns = await desk.replica("one", work, most_waiting=3)
    await desk.pass_time(1)
    for number in range(3):
        await turns.accept(desk.claim(str(number)))
    with pytest.raises(TooBusy):
        await turns.accept(desk.claim("3"))
    assert desk.owed == 3
    go.set()
    await desk.until(lambda: desk.owed == 0)
    await turns.accept(desk.claim("3"))
    await desk.until(lambda: desk.owed == 0)


# crashes


async def test_what_a_dead_replica_held_is_taken_over_when_its_lease_ran_out(desk: Desk) -> None:
    dead = SqliteStore(str(desk.path))
    await dead.open()
    for number in range(3):
        await dead.accept(desk.claim(str(number)))
    assert await dead.take("a:chat", "dead", desk.clock.now(), LEASE)
    await dead.close()

    await desk.replica("heir")
    await desk.pass_time(LEASE.total_seconds() - 1)
    assert desk.worked == []
    await desk.until(lambda: desk.owed == 0, seconds=10)
    assert desk.worked == [("heir", "0"), ("heir", "1"), ("heir", "2")]


async def test_who_was_stopped_for_longer_than_a_lease_knows_that_it_holds_nothing(
    desk: Desk,
) -> None:
    go, held = asyncio.Event(), dict[str, bool]()

    async def work(claim: Claim) -> JsonObject | None:
        held["at first"] = turns.holds(claim.key)
        await go.wait()
        held["then"] = turns.holds(claim.key)
        return {}

    turns = await desk.replica("one", work)
    await turns.accept(desk.claim("k"))
    await desk.pass_time(60)
    assert held == {"at first": True}
    assert turns.holds("k"), "it renews"
    desk.clock.pass_by(LEASE.total_seconds())
    assert not turns.holds("k")
    go.set()
    await desk.until(lambda: "then" in held)
    assert held["then"] is False
    assert not turns.holds("another")


async def test_a_renewal_that_fails_once_costs_nothing(desk: Desk) -> None:
    """Every other look renews; one that fails is repeated with the next."""
    go = asyncio.Event()

    async def work(claim: Claim) -> JsonObject | None:
        await go.wait()
        return {}

    turns = await desk.replica("one", work)
    await turns.accept(desk.claim("k"))
    await desk.until(lambda: turns.holds("k"))
    for _ in range(6):
        with closing(sqlite3.connect(desk.path)) as db:
            db.execute("BEGIN IMMEDIATE")
            await desk.pass_time(2)
        assert turns.holds("k")
        await desk.pass_time(6)
        assert turns.holds("k")
    go.set()
    await desk.until(lambda: desk.owed == 0)


async def test_a_long_turn_is_not_taken_over(desk: Desk) -> None:
    go = asyncio.Event()

    async def work(claim: Claim) -> JsonObject | None:
        desk.worked.append(("one", claim.key))
        await go.wait()
        return {}

    turns = await desk.replica("one", work)
    await turns.accept(desk.claim("k"))
    await desk.until(lambda: desk.worked)
    await desk.replica("two")
    await desk.pass_time(60)
    go.set()
    await desk.until(lambda: desk.owed == 0)
    assert desk.worked == [("one", "k")]


async def test_what_kills_its_process_again_and_again_is_given_up(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    store = SqliteStore(str(desk.path))
    await store.open()
    desk.stack.push_async_callback(store.close)
    await store.accept(desk.claim("deadly"))
    await store.accept(desk.claim("harmless"))
    for number in range(2 * MAX_ATTEMPTS):
        assert await store.take("a:chat", f"victim {number}", desk.clock.now(), LEASE)
        await desk.clock.advance(LEASE.total_seconds() + 1)
    await desk.clock.advance(2 * PATIENCE.total_seconds())
    await desk.replica("one")
    await desk.until(lambda: desk.owed == 0)
    assert desk.keys == ["harmless"]
    assert "gave up on an activity, attempt 11: deadly" in caplog.text


# failures


@pytest.mark.parametrize("how", ["false", "undelivered", "bug"])
async def test_what_fails_is_tried_again_later_and_what_comes_after_it_waits(
    desk: Desk, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[tuple[str, float]] = []

    async def work(claim: Claim) -> JsonObject | None:
        tries.append((claim.key, desk.clock.monotonic()))
        if claim.key == "first" and claim.attempts < 3:
            if how == "undelivered":
                raise Undelivered("Teams could not be reached.")
            if how == "bug":
                raise KeyError("a bug")
            return None
        return {}

    turns = await desk.replica("one", work)
    await turns.accept(desk.claim("first"))
    await turns.accept(desk.claim("second"))
    await desk.until(lambda: desk.owed == 0, seconds=60)
    assert [key for key, _ in tries] == ["first", "first", "first", "second"]
    gaps = [later - earlier for (_, earlier), (_, later) in pairwise(tries[:3])]
    assert 2 < gaps[0] < gaps[1] < 15
    assert bool([r for r in caplog.records if r.exc_info]) == (how == "bug")


async def test_what_was_put_off_is_tried_again_however_busy_the_others_are(desk: Desk) -> None:
    """The timer renews the leases of those who work: it must leave the idle one alone."""
    stop = asyncio.Event()

    async def work(claim: Claim) -> JsonObject | None:
        if claim.key == "busy":
            await stop.wait()
            return {}
        desk.worked.append(("one", claim.key))
        return {} if claim.attempts > 1 else None

    turns = await desk.replica("one", work)
    await turns.accept(desk.claim("busy", "a:busy"))
    await turns.accept(desk.claim("k"))
    await desk.until(lambda: desk.keys == ["k", "k"], seconds=15)
    stop.set()
    await desk.until(lambda: desk.owed == 0)


async def test_what_always_fails_is_given_up_and_the_next_one_has_its_turn(desk: Desk) -> None:
    async def work(claim: Claim) -> JsonObject | None:
        desk.worked.append(("one", claim.key))
        return {} if claim.key == "good" else None

    turns = await desk.replica("one", work)
    await turns.accept(desk.claim("bad"))
    await turns.accept(desk.claim("good"))
    for _ in range(2):
        await desk.pass_time(PATIENCE.total_seconds())
    assert len(desk.keys) > 2 * MAX_ATTEMPTS, "an outage costs nothing"
    assert set(desk.keys) == {"bad"}
    await desk.until(lambda: desk.owed == 0, 60)
    assert desk.keys[-1] == "good"


async def test_a_store_that_fails_for_a_while_loses_nothing_and_repeats_nothing(
    desk: Desk,
) -> None:
    go = asyncio.Event()

    async def work(claim: Claim) -> JsonObject | None:
        await go.wait()
        desk.worked.append(("one", claim.key))
        return {}

    turns = await desk.replica("one", work)
    for number in range(3):
        await turns.accept(desk.claim(str(number)))
    with closing(sqlite3.connect(desk.path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError):
            await turns.accept(desk.claim("3"))
        go.set()  # the first is done now, and that cannot be written down
        await desk.until(lambda: desk.keys == ["0"])
        await desk.pass_time(60)
        assert desk.keys == ["0"]
        other.rollback()
    await turns.accept(desk.claim("3"))
    await desk.until(lambda: desk.owed == 0, seconds=60)
    assert desk.keys == ["0", "1", "2", "3"]


class Poor(SqliteStore):
    """A store whose line is bad: it takes in no end of a turn, and gives no claim out."""

    bad = False

    async def finish(self, *args: Any, **kept: Any) -> bool:
        if self.bad:
            raise StoreError("The line is bad.")
        return await super().finish(*args, **kept)

    async def take(self, *args: Any) -> Claim | None:
        if self.bad:
            raise StoreError("The line is bad.")
        return await super().take(*args)


async def test_what_is_done_and_not_yet_kept_is_handed_to_nobody(desk: Desk) -> None:
    poor = Poor(str(desk.path), wait=0.01)

    async def work(claim: Claim) -> JsonObject | None:
        desk.worked.append(("one", claim.key))
        poor.bad = True
        return {}

    turns = await desk.replica("one", work, store=poor)
    await desk.replica("two")
    await turns.accept(desk.claim("k"))
    await desk.pass_time(2 * LEASE.total_seconds())
    assert desk.worked == [("one", "k")] and desk.owed == 1
    poor.bad = False
    await desk.until(lambda: desk.owed == 0)
    assert desk.worked == [("one", "k")]


# the end


async def test_a_stop_lets_what_is_under_way_finish(desk: Desk) -> None:
    go = asyncio.Event()

    async def work(claim: Claim) -> JsonObject | None:
        await go.wait()
        desk.worked.append(("one", claim.key))
        return {}

    turns = await desk.replica("one", work)
    await turns.accept(desk.claim("under way"))
    await turns.accept(desk.claim("waiting"))
    await desk.pass_time(1)
    stopping = asyncio.create_task(turns.stop(5.0))
    await desk.pass_time(1)
    with pytest.raises(TooBusy):
        await turns.accept(desk.claim("too late"))
    go.set()
    await stopping
    assert desk.keys == ["under way"]
    assert desk.owed == 1


async def test_a_stop_hands_back_what_takes_too_long_and_another_goes_on_at_once(
    desk: Desk,
) -> None:
    ended: list[str] = []

    async def work(claim: Claim) -> JsonObject | None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(claim.key)
        return {}

    turns = await desk.replica("one", work)
    await turns.accept(desk.claim("slow"))
    await turns.accept(desk.claim("next"))
    await desk.pass_time(1)
    await turns.stop(0.0)
    assert ended == ["slow"]
    await desk.replica("two")
    await desk.until(lambda: desk.owed == 0, seconds=1)
    assert desk.worked == [("two", "slow"), ("two", "next")]


async def test_a_turn_that_will_not_end_does_not_keep_the_process(desk: Desk) -> None:
    go = asyncio.Event()

    async def work(claim: Claim) -> JsonObject | None:
        while not go.is_set():
            try:
                await go.wait()
            except asyncio.CancelledError:
                continue
        return {}

    turns = await desk.replica("one", work)
    await turns.accept(desk.claim("stubborn"))
    await desk.pass_time(1)
    async with asyncio.timeout(5):
        await turns.stop(0.0)
        await turns.stop(0.0)
    assert desk.rows("SELECT owner FROM claims") == [(None,)]
    go.set()
    await desk.pass_time(1)


async def test_a_stop_during_the_grace_is_not_overtaken(desk: Desk) -> None:
    go = asyncio.Event()

    async def work(claim: Claim) -> JsonObject | None:
        desk.worked.append(("one", claim.key))
        await go.wait()
        return {}

    turns = await desk.replica("one", work)
    await turns.accept(desk.claim("k"))
    await desk.pass_time(1.75)  # just before the timer would renew the lease
    assert desk.worked == [("one", "k")]
    await desk.replica("two")
    stopping = asyncio.create_task(turns.stop(30.0))
    await desk.pass_time(8.5)
    go.set()
    await stopping
    await desk.pass_time(20)
    assert desk.worked == [("one", "k")]


async def test_a_stop_with_the_store_down_still_stops(desk: Desk) -> None:
    turns = await desk.replica("one")
    await desk.pass_time(1)
    await desk.stores[0].close()
    await turns.stop(0.0)


async def test_a_stop_waits_for_a_click(desk: Desk) -> None:
    go = asyncio.Event()
    turns = await desk.replica("one")

    async def click() -> str:
        await go.wait()
        return "written"

    clicking = asyncio.create_task(turns.at_once(click()))
    await desk.pass_time(0.25)
    stopping = asyncio.create_task(turns.stop(30.0))
    await desk.pass_time(1)
    assert not stopping.done()
    go.set()
    await stopping
    assert await clicking == "written"
