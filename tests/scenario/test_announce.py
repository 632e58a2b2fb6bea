"""New incidents announce themselves: once, edited in place, many of them as a digest."""

from __future__ import annotations

import asyncio
import copy
import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sandbox.world import PROVIDER_PATH, Case
from tests.clock import FakeClock
from tests.scenario.conftest import Chat, Soc, running
from tests.teams_double import Sent


@pytest.fixture
async def soc(clock: FakeClock, tmp_path: Path) -> AsyncIterator[Soc]:
    async with running(clock, tmp_path, ENRICH="off", POLL_SECONDS="0") as soc:
        yield soc


def arrives(soc: Soc, number: int, severity: str = "High") -> Case:
    """A new incident, the image of another one but for its name, number and severity."""
    case = copy.deepcopy(soc.case(3177))
    name = str(uuid.uuid5(uuid.NAMESPACE_OID, str(number)))
    old = case.incident["name"]
    case.incident = json.loads(json.dumps(case.incident).replace(old, name))
    now = soc.clock.now().strftime("%Y-%m-%dT%H:%M:%S.000Z")
    case.incident["properties"] |= {
        "incidentNumber": number,
        "severity": severity,
        "createdTimeUtc": now,
        "lastModifiedTimeUtc": now,
    }
    soc.world.cases[name] = case
    return case


async def hook(soc: Soc, case: Case) -> int:
    body = {"object": {"id": f"{PROVIDER_PATH}/incidents/{case.incident['name']}"}}
    async with soc.http.post(f"{soc.bot_url}/api/incidents", json=body) as response:
        return response.status


async def subscribed(soc: Soc, kind: str = "groupChat", word: str = "subscribe") -> Chat:
    chat = soc.chat(kind)
    answer = await chat.ask(word)
    assert "now hear" in answer.text
    return chat


def about(chat: Chat, number: int) -> list[Sent]:
    return [sent for sent in chat.messages if sent.text.startswith(f"Incident {number},")]


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
    assert soc.teams.violations == []


async def test_a_change_edits_the_card_and_only_a_change(soc: Soc) -> None:
    chat = await subscribed(soc)
    case = arrives(soc, 4002, "Low")
    await hook(soc, case)
    await soc.until(lambda: about(chat, 4002))
    await hook(soc, case)
    await soc.clock.advance(30)
    [sent] = about(chat, 4002)
    assert len(sent.history) == 1
    case.incident["properties"]["severity"] = "High"
    soc.world.touch(case)
    await hook(soc, case)
    await soc.until(lambda: len(sent.history) == 2)
    assert "High" in sent.text
    assert len(about(chat, 4002)) == 1


@pytest.mark.parametrize(("word", "heard"), [("subscribe high", 0), ("subscribe medium", 1)])
async def test_a_floor_keeps_lesser_ones_out(soc: Soc, word: str, heard: int) -> None:
    chat = await subscribed(soc, word=word)
    await hook(soc, arrives(soc, 4003, "Medium"))
    await soc.clock.advance(30)
    await asyncio.sleep(0.2)
    await soc.clock.advance(30)
    assert len(about(chat, 4003)) == heard


async def test_a_storm_becomes_a_digest_that_names_every_incident(soc: Soc) -> None:
    chat = await subscribed(soc)
    cases = [arrives(soc, 5000 + n) for n in range(60)]
    for case in cases:
        assert await hook(soc, case) == 202

    def told() -> str:
        return json.dumps([[sent.text, sent.card] for sent in chat.messages])

    await soc.until(lambda: all(str(5000 + n) in told() for n in range(60)))
    await soc.clock.advance(60)
    assert len(chat.messages) < 20
    assert any("new incidents" in sent.text for sent in chat.messages)
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


async def test_the_poll_finds_what_no_webhook_named(clock: FakeClock, tmp_path: Path) -> None:
    async with running(clock, tmp_path, ENRICH="off", POLL_SECONDS="10") as soc:
        chat = await subscribed(soc)
        arrives(soc, 4007)
        await soc.until(lambda: about(chat, 4007))
        await soc.clock.advance(60)
        assert len(about(chat, 4007)) == 1


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


async def test_suggest_prepares_the_card_and_a_click_adds(clock: FakeClock, tmp_path: Path) -> None:
    async with running(clock, tmp_path, ENRICH="suggest", POLL_SECONDS="0") as soc:
        chat = await subscribed(soc)
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
