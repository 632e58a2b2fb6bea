"""A pasted incident link becomes the incident's card, and never an error."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest

from sandbox.world import Fault
from tests.scenario.conftest import Chat, Soc

DEFENDER = "https://security.microsoft.com/incident2/48231/overview?tid=1"
BLADE = "https://portal.azure.com/#asset/Microsoft_Azure_Security_Insights/Incident"


async def paste(chat: Chat, value: Any) -> dict[str, Any]:
    invoke = chat.activity(type="invoke", name="composeExtension/queryLink", value=value)
    status, body = await chat.post(invoke)
    assert status == 200
    return body["composeExtension"]


def sentinel_links(soc: Soc) -> list[str]:
    id = soc.case(3177).incident["id"]
    return [
        BLADE + id,
        f"https://ms.portal.azure.com/#view/Incident.ReactView/id/{quote(id, safe='')}",
    ]


async def test_a_link_becomes_the_incident_as_it_is_now(soc: Soc) -> None:
    chat = soc.chat()
    for url in (*sentinel_links(soc), DEFENDER):
        found = await paste(chat, {"url": url})
        assert (found["type"], found["attachmentLayout"]) == ("result", "list")
        [attachment] = found["attachments"]
        assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
        card = attachment["content"]
        assert card["version"] == "1.3", "the newest that Teams takes from a link"
        assert "Incident 3177" in str(card) and "As of 24 Nov 09:00 UTC" in str(card)
        assert [each["type"] for each in card["actions"]] == ["Action.OpenUrl"]
        preview = attachment["preview"]
        assert preview["contentType"] == "application/vnd.microsoft.card.thumbnail"
        assert preview["content"]["title"] == "Incident 3177"
        assert preview["content"]["text"].endswith(" · High · New")


async def test_pasting_asks_nothing(soc: Soc) -> None:
    chat = soc.chat()
    await paste(chat, {"url": DEFENDER})
    assert "Which incident" in (await chat.ask("what happened?")).text
    assert soc.writes() == []


async def test_what_stands_for_the_card_is_no_markup(soc: Soc) -> None:
    title = "<img src=x onerror=a> [x](https://evil.example) & more"
    soc.case(3177).incident["properties"]["title"] = title
    found = await paste(soc.chat(), {"url": DEFENDER})
    text = found["attachments"][0]["preview"]["content"]["text"]
    assert "<" not in text and "https://" not in text
    assert "&lt; img" in text and "&amp; more" in text


@pytest.mark.parametrize(
    "value",
    [
        {"url": "https://portal.azure.com/#home"},
        {"url": "https://security.microsoft.com/alerts/1"},
        {"url": "https://evil.example/Microsoft.SecurityInsights/incidents/x"},
        {"url": "https://evil.example/?https://security.microsoft.com/incidents/48231"},
        {"url": "https://security.microsoft.com.evil.example/incidents/48231"},
        {"url": "http://security.microsoft.com/incidents/48231"},
        {"url": "https://[security.microsoft.com/incidents/48231"},
        {"url": "incident 3177"},
        {"url": "#3177"},
        {"url": f"{DEFENDER}&{'x' * 5_000}"},
        {"url": ""},
        {"url": None},
        {"url": {"url": DEFENDER}},
        {},
        None,
        "https://security.microsoft.com/incidents/48231",
    ],
)
async def test_any_other_link_stays_a_link(soc: Soc, value: Any) -> None:
    asked = len(soc.world.log)
    found = await paste(soc.chat(), value)
    assert found == {"type": "result", "attachmentLayout": "list", "attachments": []}
    assert len(soc.world.log) == asked, "nobody is asked for it"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://security.microsoft.com/incidents/1", "no Defender incident 1"),
        (f"{BLADE}/Microsoft.SecurityInsights/Incidents/{UUID(int=1)}", "There is no"),
    ],
)
async def test_an_incident_that_is_not_there_gets_a_sentence(soc: Soc, url: str, says: str) -> None:
    found = await paste(soc.chat(), {"url": url})
    assert found["type"] == "message" and says in found["text"]


async def test_sentinel_down_gets_a_sentence(soc: Soc) -> None:
    soc.world.faults.append(Fault("GET", "/incidents", 500))
    found = await paste(soc.chat(), {"url": DEFENDER})
    assert found["type"] == "message" and "Sentinel" in found["text"]
