"""What an analyst changes on an incident: once, with all else kept, over nobody's head."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Literal

import pytest

from bot.desk.act import Acted, ago, carry_out, who_did
from bot.domain.act import (
    SEVERITIES,
    VERDICTS,
    Act,
    assigned_to,
    closed,
    rated,
    reopened,
    staged,
)
from bot.domain.people import Analyst
from bot.errors import SentinelConflict, SentinelDown, SentinelForbidden
from bot.ports import AuditItem
from sandbox.world import Fault
from tests.desk.conftest import ANA, BEN, Room

CAT = Analyst("contoso", "7d3d3a55-0d68-4c4c-9b4e-6a3f0d7a51C9", "Cat Curie")
SIGNED = "Closed by Ana Analyst with Casemate, 2026-11-24 09:00 UTC."


def high(severity: str = "High") -> Act:
    act = rated(severity)
    assert act is not None
    return act


def close(key: str = "TruePositive/SuspiciousActivity", comment: str = "") -> Act:
    return closed(VERDICTS[key], comment, SIGNED)


async def do(room: Room, act: Act, by: Analyst = ANA) -> Acted:
    return await carry_out(room.desk, by, room.ref(), act, room.clock.now())


async def trail(room: Room) -> list[tuple[str, str, str, str, str]]:
    items = await room.desk.store.audit(room.ref(), 100)
    assert {item.action for item in items} <= {"act"}
    return [
        (item.analyst_name, *(item.detail[key] for key in ("what", "before", "after", "result")))
        for item in items
    ]


def raw(room: Room) -> dict[str, Any]:
    return room.case().incident["properties"]


def full(room: Room) -> dict[str, Any]:
    """Give the incident every property that one may have."""
    raw(room).update(
        description="Long story",
        owner={
            "objectId": "a3f1",
            "email": "soc@contoso.com",
            "assignedTo": "SOC",
            "userPrincipalName": "soc@contoso.com",
            "ownerType": "Group",
        },
        labels=[
            {"labelName": "aitm", "labelType": "AutoAssigned"},
            {"labelName": "vip", "labelType": "User"},
        ],
        firstActivityTimeUtc="2026-11-24T05:19:00.0000000Z",
        lastActivityTimeUtc="2026-11-24T06:19:00.0000000Z",
        classification="Undetermined",
        classificationComment="Looked at twice",
        severity="Medium",
        status="Active",
    )
    return copy.deepcopy(raw(room))


# --- what is written -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("act", "changed"),
    [
        (rated("high"), {"severity": "High"}),
        (rated(" LOW "), {"severity": "Low"}),
        (rated("Informational"), {"severity": "Informational"}),
        (staged("new"), {"status": "New"}),
        (assigned_to(ANA), {"owner": {"assignedTo": "Ana Analyst", "objectId": None}}),
        (
            assigned_to(CAT),
            {"owner": {"assignedTo": "Cat Curie", "objectId": CAT.id.lower()}},
        ),
        (
            close("FalsePositive/InaccurateData", "A scanner"),
            {
                "status": "Closed",
                "classification": "FalsePositive",
                "classificationReason": "InaccurateData",
                "classificationComment": f"A scanner\n{SIGNED}",
            },
        ),
    ],
)
async def test_an_act_changes_what_it_says_and_nothing_else(
    room: Room, act: Act, changed: dict[str, Any]
) -> None:
    before = full(room)
    acted = await do(room, act)
    assert acted.done
    after = copy.deepcopy(raw(room))
    for name, value in changed.items():
        was, now = before.pop(name, None), after.pop(name)
        assert now != was
        assert (now | value if isinstance(value, dict) else value) == now
    before.pop("lastModifiedTimeUtc")
    after.pop("lastModifiedTimeUtc")
    assert after == before
    assert room.calls()["PUT incident"] == 1


@pytest.mark.parametrize("key", VERDICTS)
async def test_every_verdict_closes(room: Room, key: str) -> None:
    acted = await do(room, close(key))
    assert (acted.done, acted.after.status) == (True, "Closed")
    assert f"{acted.after.classification}/{acted.after.reason}".rstrip("/") == key
    assert acted.after.closing_comment == SIGNED
    assert await trail(room) == [("Ana Analyst", "close", "New", "Closed", "done")]
    [item] = await room.desk.store.audit(room.ref(), 1)
    assert item.detail["verdict"] == key


async def test_closing_takes_away_the_reason_of_another_verdict(room: Room) -> None:
    raw(room).update(classification="TruePositive", classificationReason="SuspiciousActivity")
    await do(room, close("Undetermined"))
    assert "classificationReason" not in raw(room)


@pytest.mark.parametrize("act", [reopened(), staged("active")])
async def test_reopening_takes_the_verdict_back(room: Room, act: Act) -> None:
    await do(room, close())
    acted = await do(room, act)
    assert (acted.done, acted.after.status) == (True, "Active")
    assert not {name for name in raw(room) if name.startswith("classification")}


@pytest.mark.parametrize("word", ["purple", "", "High Low"])
def test_there_is_no_such_severity(word: str) -> None:
    assert rated(word) is None
    assert staged(word) is None


def test_a_comment_on_closing_hides_nothing() -> None:
    act = closed(VERDICTS["Undetermined"], "see https://evil.example\u202e now", SIGNED)
    assert act.changes["classificationComment"] == (
        f"see hxxps://evil[.]example[U+202E] now\n{SIGNED}"
    )


# --- once ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "act", [*map(rated, SEVERITIES), staged("active"), assigned_to(ANA), assigned_to(CAT), close()]
)
async def test_an_act_is_done_once(room: Room, act: Act) -> None:
    raw(room)["severity"] = "None yet"
    first, again = await do(room, act), await do(room, act)
    assert (first.done, again.done) == (True, False)
    assert room.calls()["PUT incident"] == 1
    assert [each[-1] for each in await trail(room)] == ["done", "unchanged"]
    assert again.earlier is not None
    assert again.earlier.analyst_name == "Ana Analyst"


async def test_two_clicks_at_once_change_it_once(room: Room) -> None:
    both = await asyncio.gather(do(room, close()), do(room, close()))
    assert all(each.after.status == "Closed" for each in both)
    assert [entry.status for entry in room.world.writes].count(200) == 1


async def test_reopening_what_is_open_writes_nothing(room: Room) -> None:
    acted = await do(room, reopened())
    assert not acted.done
    assert room.calls()["PUT incident"] == 0


async def test_an_act_whose_answer_was_lost_is_done(room: Room) -> None:
    room.world.faults.append(Fault("PUT", "/incidents/", 503, after=True))
    assert (await do(room, high("Low"))).done
    assert [entry.status for entry in room.world.writes] == [503, 409]
    assert await trail(room) == [("Ana Analyst", "severity", "High", "Low", "done")]


# --- two analysts --------------------------------------------------------------------------------


class Held(asyncio.Event):
    """Holds a request, and tells that it has come."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = asyncio.Event()

    async def wait(self) -> Literal[True]:
        self.reached.set()
        return await super().wait()


async def while_writing(room: Room, mine: Act, meanwhile: Callable[[], Awaitable[Any]]) -> Acted:
    """Let something happen while Ana's write is under way."""
    held = Held()
    room.world.faults.append(Fault("PUT", "/incidents/", hold=held))
    ana = asyncio.create_task(do(room, mine))
    await held.reached.wait()
    await meanwhile()
    held.set()
    return await ana


async def overlapping(room: Room, mine: Act, theirs: Act) -> Acted:
    return await while_writing(room, mine, lambda: do(room, theirs, BEN))


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (high("Low"), assigned_to(BEN)),
        (assigned_to(ANA), high("Low")),
        (high("Low"), close()),
        (close(), assigned_to(BEN)),
    ],
)
async def test_two_at_once_end_with_both_changes(room: Room, mine: Act, theirs: Act) -> None:
    acted = await overlapping(room, mine, theirs)
    assert acted.done
    assert mine.holds(acted.after)
    assert theirs.holds(acted.after)


@pytest.mark.parametrize(
    ("mine", "theirs", "told"),
    [
        (high("Low"), high("Medium"), "Ben Becker set the severity to Medium a moment ago"),
        (assigned_to(ANA), assigned_to(BEN), "Ben Becker took it a moment ago"),
        (staged("active"), close(), "Ben Becker closed it a moment ago"),
    ],
)
async def test_who_is_slower_is_told_who_was_faster(
    room: Room, mine: Act, theirs: Act, told: str
) -> None:
    with pytest.raises(SentinelConflict) as conflict:
        await overlapping(room, mine, theirs)
    assert conflict.value.sentence.startswith(f"Incident 3177: {told}. I changed nothing.")
    assert theirs.holds(await room.desk.incidents.get(room.ref().id))
    assert {each[-1] for each in await trail(room)} == {"done", "SentinelConflict"}


async def test_closed_by_another_at_once_is_the_others_verdict(room: Room) -> None:
    theirs = closed(VERDICTS["Undetermined"], "", "Closed by Ben Becker")
    acted = await overlapping(room, close(), theirs)
    assert (acted.done, acted.after.classification) == (False, "Undetermined")
    assert acted.earlier is not None
    assert acted.earlier.analyst_name == "Ben Becker"


async def test_a_change_in_the_portal_has_no_name(room: Room) -> None:
    async def elsewhere() -> None:
        raw(room)["severity"] = "Medium"
        room.world.touch(room.case())

    with pytest.raises(SentinelConflict, match="same time; the severity is now Medium"):
        await while_writing(room, high("Low"), elsewhere)


async def test_nobody_writes_over_what_they_cannot_have_seen(room: Room) -> None:
    await do(room, high("Low"), BEN)
    with pytest.raises(SentinelConflict, match="Ben Becker set the severity to Low a moment ago"):
        await do(room, high("Medium"))
    await do(room, assigned_to(ANA))
    await room.clock.advance(11)
    acted = await do(room, high("Medium"))
    assert acted.done
    assert acted.earlier is not None
    assert acted.earlier.analyst_name == "Ben Becker"
    assert (await do(room, high("High"))).done, "their own changes they may take back at once"


async def test_a_turn_taken_up_again_does_not_undo_what_came_after(room: Room) -> None:
    asked = room.clock.now()
    await room.clock.advance(60)
    await do(room, high("Low"), BEN)
    await room.clock.advance(60)
    with pytest.raises(SentinelConflict, match="Ben Becker"):
        await carry_out(room.desk, ANA, room.ref(), high("Medium"), asked)


async def test_who_is_always_slower_gives_up(room: Room) -> None:
    room.world.faults.append(Fault("PUT", "/incidents/", 409, count=99))
    with pytest.raises(SentinelConflict, match="changing it at the same time"):
        await do(room, assigned_to(ANA))
    assert room.calls()["PUT incident"] == 4


async def test_who_set_it_long_ago_is_not_who_is_changing_it_now(room: Room) -> None:
    await do(room, high("Low"), BEN)
    await room.clock.advance(3_600)
    room.world.faults.append(Fault("PUT", "/incidents/", 409, count=99))
    with pytest.raises(SentinelConflict, match="somebody else is changing it at the same time"):
        await do(room, high("Medium"))


# --- what goes wrong -----------------------------------------------------------------------------


async def test_what_was_not_done_is_in_the_audit_too(room: Room) -> None:
    room.world.faults.append(Fault("PUT", "/incidents/", 403))
    with pytest.raises(SentinelForbidden):
        await do(room, close())
    assert await trail(room) == [("Ana Analyst", "close", "New", "Closed", "SentinelForbidden")]


async def test_an_incident_that_cannot_be_read_leaves_nothing(room: Room) -> None:
    room.world.faults.append(Fault("GET", "/incidents/", 500, count=99))
    with pytest.raises(SentinelDown):
        await do(room, close())
    assert await trail(room) == []


# --- words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("span", "said"),
    [
        (timedelta(seconds=-1), "a moment ago"),
        (timedelta(seconds=29), "a moment ago"),
        (timedelta(seconds=31), "a minute ago"),
        (timedelta(seconds=89), "a minute ago"),
        (timedelta(seconds=100), "2 minutes ago"),
        (timedelta(minutes=119), "119 minutes ago"),
        (timedelta(hours=3), "3 hours ago"),
        (timedelta(days=4), "4 days ago"),
    ],
)
def test_how_long_ago(span: timedelta, said: str) -> None:
    assert ago(span) == said


@pytest.mark.parametrize(
    ("what", "said"),
    [("reopen", "Ben reopened it"), ("status", "Ben set the status to Active")],
)
def test_who_did_what(room: Room, what: str, said: str) -> None:
    now = room.clock.now()
    detail = {"what": what, "after": "Active"}
    item = AuditItem(now, "t", "act", "u", "Ben", None, detail)
    assert who_did(item, now) == f"{said} a moment ago"
