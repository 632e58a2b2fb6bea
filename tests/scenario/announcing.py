"""Incidents that arrive, places that hear of them, and what they heard."""

from __future__ import annotations

import asyncio
import copy
import json
import uuid
from collections.abc import Callable
from typing import Any

from sandbox.world import PROVIDER_PATH, Case
from tests.scenario.conftest import Chat, Soc
from tests.teams_double import Sent


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


def told_by(sent: Sent) -> str:
    return json.dumps([sent.text, sent.card], ensure_ascii=False)


def told(chat: Chat) -> str:
    """All that stands in a chat, cards and all."""
    return "\n".join(map(told_by, chat.messages))


def digests(chat: Chat) -> list[Sent]:
    return [sent for sent in chat.messages if sent.text.endswith("new incidents.")]


async def within(soc: Soc, seconds: float, happened: Callable[[], Any]) -> None:
    """Hold that something happens in time, however slow this machine is: what is under way comes
    to rest before the clock goes on."""
    end = soc.clock.monotonic() + seconds
    while True:
        await _calm(soc)
        if happened():
            return
        assert soc.clock.monotonic() < end, f"it did not happen within {seconds} s"
        await soc.clock.advance(0.25)


async def pass_time(soc: Soc, seconds: float) -> None:
    """Let time pass in steps that let HTTP requests come and go."""
    end = soc.clock.monotonic() + seconds
    await soc.until(lambda: soc.clock.monotonic() >= end)
    await _calm(soc)


async def _calm(soc: Soc) -> None:
    seen, still = -1, 0
    while still < 3:
        await asyncio.sleep(0.003)
        count = len(soc.teams.requests) + len(soc.world.log)
        seen, still = count, still + 1 if count == seen else 0
