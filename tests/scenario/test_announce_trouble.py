"""Announcing when much goes wrong: storms, replicas, crashes, and a Teams that takes nothing."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from bot.desk.deliver import LEASE
from bot.domain.announcement import Subscription
from bot.domain.incident import IncidentRef
from bot.domain.people import Place
from bot.local.sqlite import SqliteStore
from sandbox.world import Case, Fault
from tests.clock import FakeClock
from tests.scenario.announcing import (
    about,
    arrives,
    hook,
    pass_time,
    subscribed,
    told,
    told_by,
    within,
)
from tests.scenario.conftest import BOT, TENANT, Chat, Soc, running
from tests.teams_double import Refusal


def bots(clock: FakeClock, folder: Path, poll: str = "0") -> running:
    return running(clock, folder, ENRICH="off", POLL_SECONDS=poll)


def mentions(chat: Chat, number: int) -> int:
    """Count the messages that announce an incident."""
    return sum(
        sent.text.startswith(f"Incident {number},") or f"{number} ·" in told_by(sent)
        for sent in chat.messages
    )


# storms


async def test_500_in_a_minute_reach_three_places_within_teams_limits(
    clock: FakeClock, tmp_path: Path
) -> None:
    async with bots(clock, tmp_path) as soc:
        places = [await subscribed(soc, kind) for kind in ("channel", "groupChat", "personal")]
        await pass_time(soc, 30)
        numbers = range(6000, 6500)
        for start in range(6000, 6500, 50):
            arriving = [arrives(soc, number) for number in range(start, start + 50)]
            await asyncio.gather(*(hook(soc, case) for case in arriving))
            await pass_time(soc, 6)
        await within(soc, 15, lambda: all("6499" in told(place) for place in places))
        await pass_time(soc, 10)
        for place in places:
            announced = [*re.findall(r'"(\d{4}) · \*\*High', told(place))]
            announced += re.findall(r'"Incident (\d{4}), High', told(place))
            assert sorted(map(int, announced)) == list(numbers), "each once"
            assert len(place.messages) < 40
        assert soc.teams.violations == []
        reads = sum(entry.method == "GET" for entry in soc.world.log)
        assert reads < 2 * len(numbers), "not once for each place"


# replicas


async def test_two_replicas_announce_each_incident_once(clock: FakeClock, tmp_path: Path) -> None:
    replicas = bots(clock, tmp_path, poll="2")
    async with replicas as soc:
        first = soc.bot_url
        await replicas.start()
        second = soc.bot_url
        chat = await subscribed(soc)
        cases = [arrives(soc, 4100 + n) for n in range(30)]
        for case in cases[:5]:
            await hook_both(soc, first, second, case)
            await pass_time(soc, 1)
        for case in cases[5:]:
            await hook_both(soc, first, second, case)
        await soc.until(lambda: all(str(case.number) in told(chat) for case in cases))
        await pass_time(soc, 60)
        assert [mentions(chat, case.number) for case in cases] == [1] * 30
        assert all(len(sent.history) == 1 for sent in chat.messages)
        assert soc.teams.violations == []


async def hook_both(soc: Soc, first: str, second: str, case: Case) -> None:
    for soc.bot_url in (first, second):
        assert await hook(soc, case) == 202


async def test_a_slow_send_is_not_taken_over(clock: FakeClock, tmp_path: Path) -> None:
    replicas = bots(clock, tmp_path)
    async with replicas as soc:
        first = soc.bot_url
        await replicas.start()
        chat = await subscribed(soc)
        soc.teams.hold = asyncio.Event()
        case = arrives(soc, 4130)
        await hook_both(soc, first, soc.bot_url, case)
        await soc.until(lambda: about(chat, 4130))
        await pass_time(soc, 40)
        soc.teams.hold.set()
        await pass_time(soc, 20)
        assert len(about(chat, 4130)) == 1


async def test_what_one_replica_announced_another_edits(clock: FakeClock, tmp_path: Path) -> None:
    replicas = bots(clock, tmp_path)
    async with replicas as soc:
        chat = await subscribed(soc)
        case = arrives(soc, 4140)
        await hook(soc, case)
        await soc.until(lambda: about(chat, 4140))
        await replicas.stop()
        await replicas.start()
        case.incident["properties"]["severity"] = "Low"
        soc.world.touch(case)
        await hook(soc, case)
        [sent] = about(chat, 4140)
        await soc.until(lambda: len(sent.history) == 2)
        assert len(about(chat, 4140)) == 1


# crashes and stops


async def subscribe(folder: Path, clock: FakeClock, chat: Chat, service_url: str) -> None:
    store = SqliteStore(str(folder / "casemate.db"))
    await store.open()
    place = Place(TENANT, chat.conversation, chat.kind, service_url, BOT)
    await store.outbox.subscribe(Subscription(place, "Informational", clock.now()))
    await store.close()


async def left_behind(folder: Path, clock: FakeClock, case: Case, chat: Chat) -> None:
    """Leave the store as a process does that dies while it sends an incident to a chat."""
    await subscribe(folder, clock, chat, chat.soc.service_url)
    store = SqliteStore(str(folder / "casemate.db"))
    await store.open()
    now = clock.now()
    ref = IncidentRef("sandbox", case.name)
    await store.outbox.notice(ref, "state-1", [chat.conversation], now)
    name = f"place/{chat.conversation}"
    assert await store.outbox.lease(name, "a dead one", now, LEASE)
    await store.close()


async def test_what_a_dead_process_left_in_the_outbox_is_sent_once(
    clock: FakeClock, tmp_path: Path
) -> None:
    replicas = bots(clock, tmp_path)
    async with replicas as soc:
        await replicas.stop()
        chat = soc.chat("groupChat")
        await left_behind(tmp_path, clock, arrives(soc, 4150), chat)
        await replicas.start()
        await replicas.start()
        await within(soc, 20, lambda: about(chat, 4150))
        await pass_time(soc, 60)
        [sent] = about(chat, 4150)
        assert len(sent.history) == 1


async def test_a_hint_that_died_with_its_process_is_found_at_the_next_start(
    clock: FakeClock, tmp_path: Path
) -> None:
    replicas = bots(clock, tmp_path)
    async with replicas as soc:
        chat = await subscribed(soc)
        await pass_time(soc, 2)
        await replicas.stop()
        arrives(soc, 4151)
        clock_before = clock.monotonic()
        soc.world.faults.append(Fault("GET", "/incidents", 403, count=2))
        await replicas.start()
        await soc.until(lambda: about(chat, 4151))
        assert clock.monotonic() - clock_before > 59, "the first poll failed"


async def test_a_stop_waits_for_what_teams_is_taking(clock: FakeClock, tmp_path: Path) -> None:
    replicas = bots(clock, tmp_path)
    async with replicas as soc:
        chat = await subscribed(soc)
        soc.teams.hold = asyncio.Event()
        cases = [arrives(soc, 4160 + n) for n in range(4)]
        await asyncio.gather(*(hook(soc, case) for case in cases))
        await soc.until(lambda: len(chat.messages) == 2)
        stopping = asyncio.create_task(replicas.stop())
        await asyncio.sleep(0.2)
        soc.teams.hold.set()
        await stopping
        assert len(chat.messages) == 2, "nothing new was begun"
        await replicas.start()
        await soc.until(lambda: len(chat.messages) == 5)
        await pass_time(soc, 30)
        assert [mentions(chat, case.number) for case in cases] == [1] * 4


async def test_where_teams_took_a_message_and_did_not_say_so_it_comes_again(
    clock: FakeClock, tmp_path: Path
) -> None:
    """Teams knows no key for a message sent again: rather twice than never."""
    replicas = bots(clock, tmp_path)
    async with replicas as soc:
        chat = await subscribed(soc)
        soc.teams.hold = asyncio.Event()
        case = arrives(soc, 4170)
        await hook(soc, case)
        await soc.until(lambda: about(chat, 4170))
        await replicas.stop()  # longer than a stop waits
        soc.teams.hold.set()
        await replicas.start()
        await soc.until(lambda: len(about(chat, 4170)) == 2)
        await pass_time(soc, 60)
        assert len(about(chat, 4170)) == 2


# a Teams that does not take it


@pytest.mark.parametrize("status", [403, 404])
async def test_a_place_that_is_blocked_is_retired_until_it_asks_again(
    clock: FakeClock, tmp_path: Path, status: int
) -> None:
    async with bots(clock, tmp_path) as soc:
        chat, other = await subscribed(soc), await subscribed(soc)
        problem = {"error": {"code": "MessageWritesBlocked", "message": "blocked"}}
        refusal = Refusal(status, problem, containing=chat.conversation, times=99)
        soc.teams.refusals.append(refusal)
        for number in (4180, 4181):
            await hook(soc, arrives(soc, number))
            await soc.until(lambda number=number: about(other, number))
            await pass_time(soc, 30)
        assert refusal.times == 98, "it is not tried again"
        refusal.times = 0
        answer = await chat.ask("subscribe")
        assert f"It had stopped: Teams refused a message (status {status}, " in answer.text
        assert "MessageWritesBlocked" in answer.text
        await soc.until(lambda: about(chat, 4180))
        await hook(soc, arrives(soc, 4182))
        await soc.until(lambda: about(chat, 4182))
        assert "had stopped" not in (await chat.ask("subscribe")).text


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_what_teams_does_not_take_is_sent_later_and_once(
    clock: FakeClock, tmp_path: Path, status: int
) -> None:
    async with bots(clock, tmp_path) as soc:
        chat, other = await subscribed(soc), await subscribed(soc)
        refused = Refusal(status, containing=chat.conversation, times=4)
        soc.teams.refusals.append(refused)
        case = arrives(soc, 4190)
        await hook(soc, case)
        await soc.until(lambda: about(other, 4190))
        assert refused.times, "one place does not wait for another"
        await soc.until(lambda: about(chat, 4190))
        assert refused.times == 0
        await pass_time(soc, 60)
        assert [len(about(each, 4190)) for each in (chat, other)] == [1, 1]


async def test_an_incident_that_cannot_be_read_keeps_no_other_waiting(
    clock: FakeClock, tmp_path: Path
) -> None:
    async with bots(clock, tmp_path) as soc:
        chat = await subscribed(soc)
        broken, sound = arrives(soc, 4200), arrives(soc, 4201)
        fault = Fault("POST", f"{broken.name}/alerts", 403, count=3)
        soc.world.faults.append(fault)
        for case in (broken, sound):
            await hook(soc, case)
        await within(soc, 10, lambda: about(chat, 4201))
        assert about(chat, 4200) == []
        await soc.until(lambda: about(chat, 4200))
        assert fault.count == 0


async def test_a_message_that_somebody_deleted_is_not_edited_for_ever(
    clock: FakeClock, tmp_path: Path
) -> None:
    async with bots(clock, tmp_path) as soc:
        chat = await subscribed(soc)
        case = arrives(soc, 4210)
        await hook(soc, case)
        await soc.until(lambda: about(chat, 4210))
        await pass_time(soc, 10)
        soc.teams.refusals.append(Refusal(404, method="PUT", times=9))
        case.incident["properties"]["severity"] = "Low"
        soc.world.touch(case)
        await hook(soc, case)
        await pass_time(soc, 60)
        assert soc.teams.refusals[0].times == 8
        assert "had stopped" not in (await chat.ask("subscribe")).text


async def test_a_place_that_moved_is_found_once_it_is_heard_from(
    clock: FakeClock, tmp_path: Path
) -> None:
    async with bots(clock, tmp_path) as soc:
        chat = soc.chat("groupChat")
        await subscribe(tmp_path, clock, chat, "http://127.0.0.1:1/")
        await hook(soc, arrives(soc, 4220))
        await pass_time(soc, 10)
        assert about(chat, 4220) == []
        await chat.ask("help")
        await soc.until(lambda: about(chat, 4220))


# a Sentinel that is busy


async def test_a_hint_is_followed_until_sentinel_answers(clock: FakeClock, tmp_path: Path) -> None:
    async with bots(clock, tmp_path) as soc:
        chat = await subscribed(soc)
        case = arrives(soc, 4230)
        soc.world.faults.append(Fault("GET", case.name, 403, count=2))
        await hook(soc, case)
        await within(soc, 12, lambda: about(chat, 4230))


async def test_one_incident_that_cannot_be_read_does_not_stop_the_poll(
    clock: FakeClock, tmp_path: Path
) -> None:
    async with bots(clock, tmp_path, poll="10") as soc:
        chat = await subscribed(soc)
        broken = arrives(soc, 4240)
        await soc.until(lambda: about(chat, 4240))
        fault = Fault("GET", f"{broken.name}/tasks", 403, count=2)
        soc.world.faults.append(fault)
        broken.incident["properties"]["severity"] = "Low"
        soc.world.touch(broken)
        arrives(soc, 4241)
        await within(soc, 12, lambda: about(chat, 4241))
        await soc.until(lambda: len(about(chat, 4240)[0].history) == 2)
        assert fault.count == 0
