"""Who is told of which incident, and that only who has a place sends there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random

import pytest
from aiohttp import web

from bot.azure.cosmos import CosmosStore
from bot.azure.cosmos_containers import CONTAINERS
from bot.desk.announce import Announcements, Shown, Wording
from bot.desk.deliver import LEASE, Deliveries
from bot.desk.desk import Desk
from bot.desk.pace import TENANT, THREAD, Pace
from bot.domain.announcement import NEWS, Announcement, Subscription
from bot.domain.incident import Incident, IncidentRef
from bot.domain.people import Place
from bot.ports import Reply
from tests.clock import FakeClock
from tests.cosmos_double import KEY, CosmosDouble
from tests.desk.conftest import CHAT, Room
from tests.faults import Faulty
from tests.teams_double import TENANT_WINDOWS, WINDOWS


@dataclass
class Carried:
    """Keeps what would be carried to places."""

    posted: list[Reply] = field(default_factory=list)
    edited: list[str] = field(default_factory=list)
    broken: int = 0

    async def post(self, place: Place, reply: Reply, holds: Callable[[], bool]) -> str:
        assert holds()
        if self.broken:
            self.broken -= 1
            raise RuntimeError("a bug")
        self.posted.append(reply)
        return f"a-{len(self.posted)}"

    async def edit(
        self, place: Place, activity: str, reply: Reply, holds: Callable[[], bool]
    ) -> None:
        assert holds()
        self.edited.append(activity)


async def incident(room: Room, **changed: object) -> Incident:
    await room.desk.outbox.subscribe(Subscription(CHAT, "Low", room.clock.now()))
    found = await room.desk.incidents.get(room.case().name)
    return replace(found, **{"created": room.clock.now(), **changed})  # type: ignore[arg-type]


def deliveries(room: Room, herald: Carried, one=None) -> Deliveries:  # type: ignore[no-untyped-def]
    async def shown(desk: Desk, ref: IncidentRef, place: Place) -> Shown:
        return Shown(Reply(ref.id), "state")

    wording = Wording(one or shown, lambda *_: Reply("many"), Reply("gone"))
    return Deliveries(room.desk, Announcements(room.desk), herald, wording, "me")


async def delivered(delivering: Deliveries) -> None:
    before = asyncio.all_tasks()
    await delivering.deliver()
    await asyncio.gather(*(asyncio.all_tasks() - before))


@pytest.mark.parametrize(
    ("changed", "heard"),
    [
        ({}, True),
        ({"severity": "Informational"}, False),
        ({"severity": "Catastrophic"}, True),
        ({"status": "Closed"}, False),
        ({"merged_into": 7}, False),
        ({"created": None}, True),
    ],
)
async def test_which_incidents_are_announced(
    room: Room, changed: dict[str, object], heard: bool
) -> None:
    assert await Announcements(room.desk).notice(await incident(room, **changed)) is heard


@pytest.mark.parametrize(("later", "heard"), [(NEWS, True), (NEWS + timedelta(seconds=1), False)])
async def test_what_is_old_is_no_news_even_where_it_was_forgotten(
    room: Room, later: timedelta, heard: bool
) -> None:
    new = await incident(room)
    room.clock.pass_by(later.total_seconds())
    assert await Announcements(room.desk).notice(new) is heard


async def test_what_is_merged_later_changes_its_card(room: Room) -> None:
    announcements = Announcements(room.desk)
    new = await incident(room)
    await announcements.notice(new)
    assert await announcements.notice(replace(new, merged_into=7))
    assert not await announcements.notice(replace(new, merged_into=7))


async def test_a_digest_shows_what_another_replica_noticed_meanwhile(room: Room) -> None:
    mine, theirs = Announcements(room.desk), Announcements(room.desk)
    await mine.notice(await incident(room))
    room.case().incident["properties"]["title"] = "A new title"
    await theirs.notice(await room.desk.incidents.get(room.case().name))
    [announced] = await room.desk.outbox.pending(CHAT.conversation, room.clock.now(), 9)
    assert (await mine.incident(announced)).title == "A new title"


async def test_who_lost_a_place_while_preparing_a_card_does_not_send_it(room: Room) -> None:
    async def slow(desk: Desk, ref: IncidentRef, place: Place) -> Shown:
        room.clock.pass_by(LEASE.total_seconds())
        name, now = f"place/{CHAT.conversation}", room.clock.now()
        assert await desk.outbox.lease(name, "another", now, LEASE)
        return Shown(Reply("late"), "state")

    herald = Carried()
    await Announcements(room.desk).notice(await incident(room))
    delivering = deliveries(room, herald, slow)
    await delivered(delivering)
    assert herald.posted == []
    assert await room.desk.outbox.waiting(room.clock.now()) == (CHAT.conversation,)


async def test_what_has_no_room_waits_for_the_next_look(room: Room) -> None:
    async def shown(desk: Desk, ref: IncidentRef, place: Place) -> Shown:
        [wanted] = [each for each in await pending() if each.incident == ref]
        return Shown(Reply(ref.id), wanted.wanted)

    async def pending() -> tuple[Announcement, ...]:
        return await room.desk.outbox.pending(CHAT.conversation, room.clock.now(), 99)

    herald = Carried()
    announcements, delivering = Announcements(room.desk), deliveries(room, herald, shown)
    known = await incident(room)
    cases = [replace(known, ref=replace(known.ref, id=case)) for case in room.world.cases]
    for each in cases[:6]:
        await announcements.notice(each)
    for sent in (3, 4, 6):
        await delivered(delivering)
        assert len(herald.posted) == sent
        room.clock.pass_by(1)
    room.clock.pass_by(30)
    for each in cases[:6]:
        await announcements.notice(replace(each, severity="High", owner="Ben"))
    for sent in (3, 4, 6):
        await delivered(delivering)
        assert len(herald.edited) == len(set(herald.edited)) == sent
        room.clock.pass_by(1)
    assert await pending() == ()


async def test_a_bug_is_logged_and_costs_a_pause(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    herald = Carried(broken=1)
    await Announcements(room.desk).notice(await incident(room))
    delivering = deliveries(room, herald)
    for pause, sent in ((0, 0), (4, 0), (1, 1)):
        room.clock.pass_by(pause)
        await delivered(delivering)
        assert len(herald.posted) == sent
    assert "a bug" in caplog.text


@pytest.mark.parametrize("limits", [THREAD, TENANT])
def test_a_pace_keeps_every_limit_and_wastes_none(limits: tuple[tuple[int, float], ...]) -> None:
    clock = FakeClock()
    pace = Pace(clock, limits)
    passed: list[float] = []
    most, longest = limits[-1]
    while clock.monotonic() < 2 * longest:
        if pace.has_room:
            pace.count()
            passed.append(clock.monotonic())
        else:
            clock.pass_by(0.25)
    for limit, seconds in limits:
        assert all(b - a >= seconds for a, b in zip(passed, passed[limit:], strict=False))
    assert len(passed) == 2 * most


def test_two_replicas_together_stay_within_what_teams_allows() -> None:
    for ours, teams in ((THREAD, WINDOWS), (TENANT, TENANT_WINDOWS)):
        assert [seconds for _, seconds in ours] == [seconds for seconds, _ in teams]
        assert all(2 * most <= allowed for (most, _), (_, allowed) in zip(ours, teams, strict=True))


@pytest.mark.parametrize("failures", [3, 100])
async def test_what_teams_took_is_not_sent_again_because_the_store_did_not_answer(
    room: Room, failures: int
) -> None:
    """Not within a lease, and not after it, while nobody else had the place."""
    herald, left = Carried(), [failures]

    def notes(request: web.Request) -> bool:
        left[0] -= bool(herald.posted)
        return bool(herald.posted) and left[0] >= 0 and "/colls/outbox/" in request.path

    faulty = Faulty(Random(1), "broken", share=1.0, of=notes)
    double = CosmosDouble([each.resource for each in CONTAINERS])
    async with double.running(faulty.middleware):
        store = CosmosStore(double.url, double.database, KEY, timedelta(days=1))
        await store.open()
        there = replace(room, desk=replace(room.desk, outbox=store.outbox))
        found = await incident(there)
        delivering = deliveries(there, herald)
        await Announcements(there.desk).notice(found)
        await delivered(delivering)
        left[0] = 0
        await room.clock.sleep(LEASE.total_seconds())
        await delivered(delivering)
        assert faulty.struck["broken"] >= 3
        assert len(herald.posted) == 1
        assert await store.outbox.waiting(room.clock.now()) == ()
        await store.close()
