"""The whole bot on the Cosmos DB store: two replicas, one database."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from bot.auditing import Wanted, report
from bot.azure.cosmos import CosmosStore
from bot.azure.cosmos_containers import CONTAINERS
from tests.clock import FakeClock
from tests.cosmos_double import KEY, CosmosDouble
from tests.scenario.conftest import Soc, running


@pytest.fixture
async def double() -> AsyncIterator[CosmosDouble]:
    async with CosmosDouble([each.resource for each in CONTAINERS]).running() as double:
        yield double


def where(double: CosmosDouble) -> dict[str, str]:
    quiet = {"POLL_SECONDS": "0", "ENRICH": "off"}
    return {"STORE_URL": double.url, "COSMOS_KEY": KEY, **quiet}


async def test_ask_and_add_as_task(clock: FakeClock, tmp_path: Path, double: CosmosDouble) -> None:
    async with running(clock, tmp_path, **where(double)) as soc:
        await ask_and_add_as_task(soc)
    kept = {name: len(each.items) for name, each in double.collections.items()}
    assert (kept["history"], kept["proposals"]) == (2, 3)
    assert await recorded(double) == ["question", "question", "write"]


async def recorded(double: CosmosDouble) -> list[str]:
    """What is in the audit, whose chain holds."""
    store = CosmosStore(double.url, double.database, KEY, timedelta(days=30))
    await store.open()
    assert await report(store, Wanted(), io.StringIO(), io.StringIO())
    links = await store.links(0, 99)
    await store.close()
    return [link.item["action"] for link in links]


async def ask_and_add_as_task(soc: Soc) -> None:
    chat = soc.chat()
    first = await chat.ask("what happened in incident 3177?")
    assert "in the order of the alerts" in first.text
    second = await chat.ask("and which accounts should I reset first?")
    assert 'Following on from "what happened in incident 3177?"' in second.text
    before = len(soc.case(3177).tasks)
    card = await chat.click(second, "Add as task")
    assert "Ana Analyst" in str(card["value"])
    assert len(soc.case(3177).tasks) == before + 1
    assert soc.teams.violations == []


async def test_of_two_replicas_one_answers_and_both_know(
    clock: FakeClock, tmp_path: Path, double: CosmosDouble
) -> None:
    replicas = running(clock, tmp_path, **where(double))
    async with replicas as soc:
        urls = [soc.bot_url]
        await replicas.start()
        urls.append(soc.bot_url)
        chat = soc.chat("groupChat")
        activity = chat.activity(text="what happened in incident 3177?")
        for soc.bot_url in urls * 2:
            status, _ = await chat.post(activity)
            assert status == 202
        await soc.until(lambda: chat.messages and soc.quiet)
        for number, soc.bot_url in enumerate(urls):
            answer = await chat.ask(f"and which hosts, {number}?")
            assert "Following on from" in answer.text
        assert len(chat.messages) == 3
        before = len(soc.case(3177).tasks)
        for soc.bot_url in urls:
            card = await chat.click(answer, "Add as task")
            answer.history[:] = answer.history[:1]
            assert "Ana Analyst" in str(card["value"])
        assert len(soc.case(3177).tasks) == before + 1
        assert await recorded(double) == [*["question"] * 3, "write", "refused click"]
        assert soc.teams.violations == []
