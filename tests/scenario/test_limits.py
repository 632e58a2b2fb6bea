"""What happens to whoever asks more than they may: a sentence, and when to try again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.clock import FakeClock
from tests.scenario.conftest import Chat, Soc, running

BEN = {"name": "Ben Becker", "analyst": "66666666-6666-4666-8666-666666666666"}


@pytest.fixture
async def frugal(clock: FakeClock, tmp_path: Path) -> AsyncIterator[running]:
    """Three requests a minute each and five for all, and one answer's tokens a day."""
    limits = {
        "ANALYST_REQUESTS_PER_MINUTE": "3",
        "TENANT_REQUESTS_PER_MINUTE": "5",
        "ANALYST_TOKENS_PER_DAY": "100",
        "POLL_SECONDS": "0",
    }
    app = running(clock, tmp_path, **limits)
    async with app:
        yield app


async def pressed(chat: Chat, data: dict[str, Any]) -> Any:
    value = {"action": {"type": "Action.Execute", "verb": "x", "data": data}, "trigger": "manual"}
    _, body = await chat.post(
        chat.activity(type="invoke", name="adaptiveCard/action", value=value, replyToId="a-1")
    )
    return body["value"]


async def pasted(chat: Chat, url: str) -> Any:
    _, body = await chat.post(
        chat.activity(type="invoke", name="composeExtension/queryLink", value={"url": url})
    )
    return body["composeExtension"].get("text")


async def test_requests_a_minute(frugal: running) -> None:
    soc = frugal.soc
    ana, ben = soc.chat(), soc.chat(**BEN)
    for _ in range(3):
        assert "Sentinel" in (await ana.ask("help")).text
    sentence = "You have asked 3 times within a minute, which is the most. Please try again in "
    began = soc.clock.monotonic()
    said = (await ana.ask("help")).text
    assert said.startswith(sentence)
    assert (await pressed(ana, {"verb": "add"})).startswith(sentence)
    assert (await pasted(ana, link(soc))).startswith(sentence)
    # What was refused is not counted: two of the tenant's five are left.
    for _ in range(2):
        assert "Sentinel" in (await ben.ask("help")).text
    said = (await ben.ask("help")).text
    assert said.startswith("Your organisation has asked 5 times within a minute")
    await soc.clock.advance(60 - (soc.clock.monotonic() - began))
    assert "Sentinel" in (await ana.ask("help")).text
    assert "Sentinel" in (await ben.ask("help")).text


def link(soc: Soc) -> str:
    return "https://portal.azure.com/#asset/Microsoft_Azure_Security_Insights/Incident" + str(
        soc.case(3177).incident["id"]
    )


async def test_tokens_a_day_on_every_replica_and_after_a_restart(frugal: running) -> None:
    soc = frugal.soc
    ana, ben = soc.chat(), soc.chat(**BEN)
    assert "Sandbox model" in (await ana.ask("what happened in incident 3177?")).text
    used_up = (
        "Your 100 tokens for today are used up. Please ask again after midnight UTC, in 15 hours. "
        "What needs no model still works."
    )
    await frugal.start()  # another replica, with the same store
    assert (await ana.ask("and then?")).text == used_up
    assert (await ana.ask("tasks")).text == used_up
    await soc.clock.advance(60)
    assert (await ana.ask("kql who else signed in?")).text == used_up
    assert "in focus" in (await ana.ask("incident 3177")).text
    assert "Sandbox model" in (await ben.ask("what happened in incident 3177?")).text
    await soc.clock.advance(15 * 3600)
    assert "Sandbox model" in (await ana.ask("and then?")).text
    assert soc.teams.violations == []


async def test_one_question_on_an_incident_at_a_time(soc: Soc) -> None:
    here, there, ben = soc.chat(), soc.chat(), soc.chat(**BEN)
    for chat in (here, there, ben):
        await chat.say("what happened in incident 3177?")
    await soc.until(lambda: here.messages and there.messages and ben.messages and soc.quiet)
    for chat in (here, there, ben):
        assert "Sandbox model" in chat.messages[-1].text
    assert soc.teams.violations == []


async def test_a_question_that_failed_or_was_stopped_leaves_the_place_free(soc: Soc) -> None:
    here, there = soc.chat(), soc.chat()
    for word in ("sandbox:429", "sandbox:cut", "sandbox:refused"):
        await here.ask(f"{word} what happened in incident 3177?")
        assert "Sandbox model" in (await there.ask("what happened in incident 3177?")).text


async def test_what_is_typed_has_a_length(soc: Soc) -> None:
    chat = soc.chat()
    said = await chat.ask("help " + "x" * 4_000)
    assert said.text == (
        "Your question has 4,005 characters; I take up to 4,000. Please shorten it."
    )
    for name in ("how", "comment", "anything"):
        said = await chat.submit({"verb": "refine", "proposal": "x", name: "y" * 4_001})
        assert said.text == "Please type at most 4,000 characters."
    said = await chat.submit({"verb": "refine", "proposal": "x", "how": "y" * 501})
    assert said.text == "Please say it in at most 500 characters."
