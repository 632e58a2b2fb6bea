"""The sandbox's newcomer sees an incident arrive, and works it as any other."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.clock import FakeClock
from tests.scenario import conftest
from tests.scenario.conftest import Soc, running


@pytest.fixture
async def soc(clock: FakeClock, tmp_path: Path) -> AsyncIterator[Soc]:
    """Without a poll: what is announced came through the webhook."""
    async with running(clock, tmp_path, ENRICH="off", POLL_SECONDS="0") as soc:
        yield soc
    # An arriving incident writes into the logs that scenarios otherwise share.
    conftest.sample_logs.cache_clear()


async def test_an_incident_arrives_is_announced_once_and_is_worked(soc: Soc) -> None:
    chat = soc.chat()
    assert "now hear" in (await chat.ask("subscribe")).text
    before = len(chat.messages)
    async with soc.http.post(f"{soc.world.portal_url}/incidents") as page:
        assert (page.status, page.url.path) == (200, "/incidents/3180")
        assert "Incident 3180" in await page.text()
    await soc.until(lambda: len(chat.messages) > before)
    await soc.clock.advance(30)
    [announced] = chat.messages[before:]
    assert announced.text.startswith("Incident 3180,")

    answer = await chat.ask("what happened in incident 3180?")
    assert "203.0.113.88" in answer.text
    await chat.click(await chat.ask("tasks"), "Add task")
    assert len(soc.case(3180).tasks) == 1
    written = await chat.ask("kql which inbox rules were made?")
    rows = await chat.press(written, "Run")
    assert "New-InboxRule" in json.dumps(rows.card) and "203.0.113.88" in json.dumps(rows.card)
    assert soc.teams.violations == []
