"""New incidents announce themselves: once, edited in place, many of them as a digest."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox.cases import resource
from sandbox.world import Case
from tests.clock import FakeClock
from tests.scenario.announcing import (
    about,
    arrives,
    digests,
    hook,
    pass_time,
    subscribed,
    told,
    told_by,
    within,
)
from tests.scenario.conftest import Soc, running
from tests.teams_double import Refusal


@pytest.fixture
async def soc(clock: FakeClock, tmp_path: Path) -> AsyncIterator[Soc]:
    async with running(clock, tmp_path, ENRICH="off", POLL_SECONDS="0") as soc:
        yield soc


async def test_an_incident_is_announced_once_whatever_repeats(soc: Soc) -> None:
    chat = await subscribed(soc)
    case = arrives(soc, 4001)
    statuses = await asyncio.gather(*(hook(soc, case) for _ in range(20)))
    assert set(statuses) == {202}
    await soc.until(lambda: about(chat, 4001))
    await soc.clock.advance(60)
    [sent] = about(chat, 4001)
    assert len(sent.history) == 1
    assert "Assign to me" in json.dumps(sent.card)
    # A card alone, its words in the notification: the local client could not edit both together.
    assert "text" not in sent.now and sent.now["summary"] == "Incident 4001, High, New."
    assert "Add all" not in json.dumps(sent.card), "ENRICH=off"
    assert soc.teams.violations == []


def properties(**changed: Any) -> Callable[[Case], None]:
    return lambda case: case.incident["properties"].update(changed)


def comment(case: Case) -> None:
    case.comments["c"] = resource(f"Incidents/{case.name}/Comments", "c", {"message": "x"}, "e")


def task(case: Case) -> None:
    case.tasks["t"] = resource(f"Incidents/{case.name}/Tasks", "t", {"title": "x"}, "e")


CHANGES: dict[str, Callable[[Case], None]] = {
    "severity": properties(severity="Low"),
    "owner": properties(owner={"assignedTo": "Ben Becker", "objectId": "b"}),
    "status": properties(status="Active"),
    "title": properties(title="A title that correlation gave"),
    "closing": properties(status="Closed", classification="Undetermined"),
    "alert": lambda case: case.alerts.append(case.alerts[0]),
    "comment": comment,
    "task": task,
}


async def test_each_change_edits_the_card_once_and_nothing_else_does(soc: Soc) -> None:
    chat = await subscribed(soc)
    cases = {what: arrives(soc, 4010 + n) for n, what in enumerate(CHANGES)}
    await asyncio.gather(*map(lambda case: hook(soc, case), cases.values()))
    await soc.until(lambda: len(chat.messages) == 1 + len(cases))
    await pass_time(soc, 30)
    for what, change in CHANGES.items():
        change(cases[what])
        soc.world.touch(cases[what])
    for _ in range(3):
        await asyncio.gather(*map(lambda case: hook(soc, case), cases.values()))
        await pass_time(soc, 20)
    versions = {what: len(about(chat, case.number)[0].history) for what, case in cases.items()}
    assert versions == dict.fromkeys(CHANGES, 2)
    assert len(chat.messages) == 1 + len(cases), "an edit, not another message"
    [closed] = about(chat, cases["closing"].number)
    assert "Closed" in closed.text and "Close incident" not in json.dumps(closed.card)
    assert soc.teams.violations == []


async def test_a_digest_is_edited_for_what_its_lines_show_and_for_nothing_else(soc: Soc) -> None:
    chat = await subscribed(soc)
    cases = [arrives(soc, 4030 + n) for n in range(12)]
    await asyncio.gather(*(hook(soc, case) for case in cases))
    await soc.until(lambda: all(str(4030 + n) in told(chat) for n in range(12)))
    assert digests(chat), told(chat)
    [digest, *_] = digests(chat)
    [listed, *_] = [case for case in cases if f"{case.number} ·" in told_by(digest)]
    await pass_time(soc, 40)
    for change, versions in ((comment, 1), (properties(status="Active"), 2)):
        change(listed)
        soc.world.touch(listed)
        await hook(soc, listed)
        await pass_time(soc, 40)
        assert len(digest.history) == versions
    assert "Active" in told_by(digest)
    del soc.world.cases[listed.name]
    await hook(soc, listed)
    await pass_time(soc, 40)
    assert len(digest.history) == 3 and f"{listed.number} ·" not in told_by(digest)


async def test_what_changes_before_it_is_sent_is_sent_once(soc: Soc) -> None:
    chat = await subscribed(soc)
    case = arrives(soc, 4050)
    soc.teams.refusals.append(Refusal(500, containing="Incident 4050"))
    await hook(soc, case)
    await soc.until(lambda: not soc.teams.refusals[0].times)
    task(case)
    properties(status="Active")(case)
    soc.world.touch(case)
    await soc.until(lambda: about(chat, 4050))
    await hook(soc, case)
    await pass_time(soc, 30)
    [sent] = about(chat, 4050)
    assert len(sent.history) == 1 and "Active" in sent.text


async def test_what_is_changed_back_meanwhile_is_not_edited(soc: Soc) -> None:
    chat = await subscribed(soc)
    case = arrives(soc, 4051)
    await hook(soc, case)
    await soc.until(lambda: about(chat, 4051))
    properties(severity="Low")(case)
    await hook(soc, case)
    await pass_time(soc, 1)
    properties(severity="High")(case)
    await pass_time(soc, 20)
    assert len(about(chat, 4051)[0].history) == 1


async def test_a_deleted_incident_says_so_and_an_unsent_one_stays_unsaid(soc: Soc) -> None:
    chat = await subscribed(soc)
    case, early = arrives(soc, 4060), arrives(soc, 4061)
    await hook(soc, case)
    await soc.until(lambda: about(chat, 4060))
    [sent] = about(chat, 4060)
    soc.teams.refusals.append(Refusal(500, containing="Incident 4061"))
    await hook(soc, early)
    await soc.until(lambda: not soc.teams.refusals[0].times)
    for each in (case, early):
        del soc.world.cases[each.name]
    await pass_time(soc, 10)
    assert await hook(soc, case) == 202
    await soc.until(lambda: len(sent.history) == 2)
    assert "no longer in Sentinel" in sent.text and sent.card is None
    await hook(soc, case)
    await pass_time(soc, 30)
    assert len(sent.history) == 2 and "4061" not in told(chat)


async def test_a_click_changes_the_card_everywhere_at_once(soc: Soc) -> None:
    here, there = await subscribed(soc), await subscribed(soc)
    await hook(soc, arrives(soc, 4070))
    await soc.until(lambda: about(here, 4070) and about(there, 4070))
    [clicked], [seen] = about(here, 4070), about(there, 4070)
    await pass_time(soc, 10)
    await here.click(clicked, "Assign to me")
    await within(soc, 2, lambda: len(seen.history) == 2)
    for card in (clicked.card, seen.card):
        assert "Ana Analyst took it, 09:0" in json.dumps(card, ensure_ascii=False)
    await here.ask("severity low #4070")
    await soc.until(lambda: "Low" in seen.text)
    await pass_time(soc, 30)
    assert len(seen.history) == 3


@pytest.mark.parametrize(("word", "heard"), [("subscribe high", 0), ("subscribe medium", 1)])
async def test_a_floor_keeps_lesser_ones_out(soc: Soc, word: str, heard: int) -> None:
    chat = await subscribed(soc, word=word)
    await hook(soc, arrives(soc, 4003, "Medium"))
    await hook(soc, arrives(soc, 4004, "High"))
    await soc.until(lambda: about(chat, 4004) and len(about(chat, 4003)) >= heard)
    assert len(about(chat, 4003)) == heard


async def test_a_storm_becomes_a_digest_that_names_every_incident(soc: Soc) -> None:
    chat = await subscribed(soc)
    cases = [arrives(soc, 5000 + n) for n in range(60)]
    for case in cases:
        assert await hook(soc, case) == 202
    await within(soc, 15, lambda: all(str(5000 + n) in told(chat) for n in range(60)))
    await pass_time(soc, 60)
    assert len(chat.messages) < 20 and digests(chat)
    assert soc.teams.violations == []


async def test_a_channels_card_starts_a_thread_about_its_incident(soc: Soc) -> None:
    channel = await subscribed(soc, "channel")
    await hook(soc, arrives(soc, 4005))
    await soc.until(lambda: about(channel, 4005))
    [sent] = about(channel, 4005)
    thread = soc.chat("channel", f"{channel.conversation};messageid={sent.id}")
    answer = await thread.ask("history")
    assert "incident 4005" in answer.text


async def test_nothing_more_after_unsubscribe_or_removal(soc: Soc) -> None:
    chat, other = await subscribed(soc), await subscribed(soc)
    assert "no longer" in (await chat.ask("unsubscribe")).text
    assert "Nothing is announced" in (await chat.ask("unsubscribe")).text
    removed = other.activity(type="installationUpdate", action="remove")
    status, _ = await other.post(removed)
    assert status == 202
    await soc.clock.advance(5)
    await asyncio.sleep(0.2)
    await hook(soc, arrives(soc, 4006))
    await soc.clock.advance(30)
    assert about(chat, 4006) == about(other, 4006) == []


async def test_subscribe_says_what_it_takes(soc: Soc) -> None:
    assert "one of: High" in (await soc.chat().ask("subscribe purple")).text


@pytest.mark.parametrize("hooks", [0, 20])
async def test_poll_and_webhook_announce_once_whoever_is_first(
    clock: FakeClock, tmp_path: Path, hooks: int
) -> None:
    async with running(clock, tmp_path, ENRICH="off", POLL_SECONDS="2") as soc:
        chat = await subscribed(soc)
        await pass_time(soc, 1.75)
        case = arrives(soc, 4007)
        polling = asyncio.create_task(soc.clock.advance(0.5))
        await asyncio.gather(polling, *(hook(soc, case) for _ in range(hooks)))
        await soc.until(lambda: about(chat, 4007))
        await pass_time(soc, 20)
        [sent] = about(chat, 4007)
        assert len(sent.history) == 1


async def test_post_writes_the_playbook_once_with_no_place_subscribed(
    clock: FakeClock, tmp_path: Path
) -> None:
    async with running(clock, tmp_path, ENRICH="post", POLL_SECONDS="0") as soc:
        case = arrives(soc, 4008)
        await hook(soc, case)
        await soc.until(lambda: any("KQL to run" in json.dumps(t) for t in case.tasks.values()))
        tasks, comments = len(case.tasks), len(case.comments)
        await hook(soc, case)
        await soc.clock.advance(30)
        assert (len(case.tasks), len(case.comments)) == (tasks, comments)


async def test_what_came_while_nobody_watched_is_prepared_too(
    clock: FakeClock, tmp_path: Path
) -> None:
    bot = running(clock, tmp_path, ENRICH="post", POLL_SECONDS="0")
    async with bot as soc:
        await pass_time(soc, 2)
        await bot.stop()
        case = arrives(soc, 4011)
        await clock.advance(600)
        await bot.start()
        await soc.until(lambda: any("KQL to run" in json.dumps(t) for t in case.tasks.values()))


async def test_suggest_prepares_the_card_and_a_click_adds(clock: FakeClock, tmp_path: Path) -> None:
    async with running(clock, tmp_path, ENRICH="suggest", POLL_SECONDS="0") as soc:
        chat, there = await subscribed(soc), await subscribed(soc)
        case = arrives(soc, 4009)
        await hook(soc, case)
        await soc.until(
            lambda: about(chat, 4009) and "Add all" in json.dumps(about(chat, 4009)[0].card)
        )
        [sent] = about(chat, 4009)
        assert soc.writes() == []
        card = await chat.click(sent, "Add query")
        assert "Incident 4009" in json.dumps(card["value"])
        assert any("KQL to run" in json.dumps(task) for task in case.tasks.values())
        await soc.until(lambda: "Added to the incident by Ana" in told(there))


async def test_a_message_that_got_no_id_is_not_sent_again(soc: Soc) -> None:
    chat = await subscribed(soc)
    soc.teams.nameless = True
    case = arrives(soc, 4090)
    await hook(soc, case)
    await soc.until(lambda: about(chat, 4090))
    case.incident["properties"]["severity"] = "Low"
    soc.world.touch(case)
    await hook(soc, case)
    await pass_time(soc, 60)
    assert len(about(chat, 4090)) == 1
