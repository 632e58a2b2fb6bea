"""What is read of an incident, and when it is read again."""

from __future__ import annotations

import asyncio
from collections import Counter
from uuid import UUID

import pytest

from bot.errors import IncidentNotFound, SentinelDown
from sandbox.world import Case, Fault
from tests.counting import estimate
from tests.desk.conftest import Room

GUID = "00000000-0000-4000-8000-000000000001"
ALWAYS = {"GET incident": 1, "GET tasks": 1}
EVERYTHING = {**ALWAYS, "POST alerts": 1, "POST entities": 1, "GET comments": 1}


async def reading(room: Room, number: int = 3177) -> Counter[str]:
    """Read a case file, and say what was asked for."""
    before = room.calls()
    await room.desk.cases.read(room.case(number).name)
    return room.calls() - before


async def test_all_there_is_about_an_incident_is_read(room: Room) -> None:
    case = await room.desk.cases.read(room.case(3178).name)
    there = room.case(3178)
    assert case.incident.number == 3178
    assert [len(part) for part in (case.alerts, case.entities, case.comments, case.tasks)] == [
        len(there.alerts),
        len(there.entities),
        len(there.comments),
        len(there.tasks),
    ]
    assert room.calls() == EVERYTHING


async def test_what_has_not_changed_is_not_read_again_within_a_minute(room: Room) -> None:
    assert await reading(room) == EVERYTHING
    assert await reading(room) == ALWAYS
    await room.clock.advance(59.9)
    assert await reading(room) == ALWAYS
    await room.clock.advance(0.1)
    assert await reading(room) == EVERYTHING


async def test_a_changed_incident_is_read_again(room: Room) -> None:
    name = room.case().name
    first = await room.desk.cases.read(name)
    await room.desk.incidents.add_comment(name, GUID, "<p>seen</p>")
    second = await room.desk.cases.read(name)
    assert len(second.comments) == len(first.comments) + 1
    assert second.incident.etag != first.incident.etag


async def test_a_task_is_seen_at_once(room: Room) -> None:
    name = room.case().name
    first = await room.desk.cases.read(name)
    await room.desk.incidents.add_task(name, GUID, "Call the user", "")
    assert len((await room.desk.cases.read(name)).tasks) == len(first.tasks) + 1


async def test_the_one_kept_longest_makes_room(room: Room) -> None:
    """256 are kept: of so many incidents, hardly one is asked about once a minute."""
    for number in range(256):
        clone = Case({**room.case().incident, "name": str(UUID(int=number))})
        room.world.cases[clone.name] = clone
    assert await reading(room, 3177) == EVERYTHING
    await asyncio.gather(*(room.desk.cases.read(str(UUID(int=n))) for n in range(255)))
    assert await reading(room, 3177) == ALWAYS
    await room.desk.cases.read(str(UUID(int=255)))
    assert await reading(room, 3177) == EVERYTHING


async def test_evidence_is_worked_out_once_for_what_reads_the_same(room: Room) -> None:
    name, cases = room.case().name, room.desk.cases
    first = await cases.study(name, estimate)
    await room.clock.advance(120)  # everything is read again, and is the same
    assert await cases.study(name, estimate) is first
    await room.desk.incidents.add_task(name, GUID, "Call the user", "")
    second = await cases.study(name, estimate)
    assert second is not first and "Call the user" in second.evidence.body


async def test_text_that_talks_to_an_assistant_is_named(room: Room) -> None:
    assert (await room.desk.cases.study(room.case(3177).name, estimate)).warnings == ()
    warned = (await room.desk.cases.study(room.case(3179).name, estimate)).warnings
    assert "the alert's Subject" in warned
    assert "the mailmessage's name" not in warned, "it is the same text"


async def test_what_cannot_be_read_is_not_kept(room: Room) -> None:
    with pytest.raises(IncidentNotFound):
        await room.desk.cases.read("00000000-0000-4000-8000-000000000000")
    room.world.faults.append(Fault("POST", "/entities", status=503, count=99))
    with pytest.raises(SentinelDown):
        await room.desk.cases.read(room.case().name)
    room.world.faults.clear()
    assert await reading(room) == EVERYTHING
