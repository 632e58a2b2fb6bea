"""`SOC_TEAM_ID`: only the team's members get in, over HTTP at the whole application."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from bot.settings import Settings
from tests.clock import FakeClock
from tests.teams.conftest import (
    ANALYST,
    BOT,
    Edges,
    Start,
    application_at,
    bearer,
    environment,
    kept,
)
from tests.teams.identity_provider import TENANT, IdentityProvider
from tests.teams_double import Refusal, Teams

TEAM = "19:soc@thread.tacv2"
OTHER = "66666666-6666-4666-8666-666666666666"
OUTSIDER = {"id": f"29:{OTHER}", "aadObjectId": OTHER, "name": "Otto Outsider"}
CLICK: dict[str, Any] = {"type": "invoke", "name": "adaptiveCard/action", "value": {}}
LINK: dict[str, Any] = {
    "type": "invoke",
    "name": "composeExtension/queryLink",
    "value": {"url": "https://example.com"},
}
THUMB: dict[str, Any] = {"type": "invoke", "name": "message/submitAction", "value": {}}


def member(id: str = ANALYST, **fields: Any) -> dict[str, Any]:
    """One member as the connector gives them out."""
    return {"id": f"29:{id}", "objectId": id, "tenantId": TENANT, "userRole": "user", **fields}


@pytest.fixture
async def bot(start: Start, issuer: IdentityProvider) -> Edges:
    bot = await start(SOC_TEAM_ID=TEAM)
    bot.teams.members[TEAM] = [member()]
    bot.headers = bearer(issuer.token(bot.service_url))
    return bot


async def status(bot: Edges, **fields: Any) -> int:
    return (await bot.post(bot.activity(**fields), bot.headers))[0]


def in_team(kind: str, **fields: Any) -> dict[str, Any]:
    conversation = {"id": f"{TEAM};messageid=1", "conversationType": "channel", "tenantId": TENANT}
    return {"type": "conversationUpdate", "conversation": conversation, kind: [{"id": "29:x"}]}


async def test_a_member_is_answered_and_the_roster_is_read_once(bot: Edges) -> None:
    for fields, answer in (({}, 202), (CLICK, 200), (LINK, 200), (THUMB, 200)):
        assert await status(bot, **fields) == answer
    await bot.until(lambda: bot.messages)
    assert "Sentinel" in bot.messages[0].text
    assert bot.teams.members_read == [TEAM]
    assert bot.teams.violations == []


@pytest.mark.parametrize("fields", [{}, CLICK, LINK, THUMB], ids=["message", "click", "link", "👍"])
async def test_nobody_else_is(bot: Edges, fields: dict[str, Any]) -> None:
    status, body, _ = await bot.post(bot.activity(**{**fields, "from": OUTSIDER}), bot.headers)
    assert (status, body) == (403, {"error": "Only members of the SOC's team may use this bot."})
    assert kept(bot) == 0


async def test_an_outsider_is_told_once_in_a_conversation_and_nothing_else(bot: Edges) -> None:
    for _ in range(3):
        assert await status(bot, **{"from": OUTSIDER}) == 403
    assert [sent.text for sent in bot.messages] == ["I cannot help you here."]
    where = {"id": "19:group", "conversationType": "groupChat", "tenantId": TENANT}
    assert await status(bot, **{"from": OUTSIDER}, conversation=where) == 403
    assert await status(bot, **{"from": OUTSIDER}, **CLICK) == 403
    assert [sent.conversation for sent in bot.messages] == ["a:chat", "19:group"]


async def test_an_outsider_who_cannot_be_told_is_refused_all_the_same(bot: Edges) -> None:
    bot.teams.refusals.append(Refusal(403, method="POST"))
    assert await status(bot, **{"from": OUTSIDER}) == 403
    assert bot.messages == []


@pytest.mark.parametrize(
    ("listed", "answer"),
    [
        (member(), 202),
        (member(objectId=ANALYST.upper()), 202),
        (member(objectId=None, aadObjectId=ANALYST), 202),
        (member(objectId=None), 202),
        (member(userRole=None, tenantId=None), 202),
        (member(OTHER), 403),
        (member(userRole="guest"), 403),
        (member(userRole="anonymous"), 403),
        (member(userPrincipalName="ana_fabrikam.com#EXT#@contoso.onmicrosoft.com"), 403),
        (member(tenantId=OTHER), 403),
        ({"id": 7, "objectId": [ANALYST]}, 403),
        ({}, 403),
        ("ana", 403),
        (None, 403),
    ],
    ids=str,
)
async def test_who_counts_as_a_member(bot: Edges, listed: Any, answer: int) -> None:
    bot.teams.members[TEAM] = [listed]
    assert await status(bot) == answer


@pytest.mark.parametrize("fields", [{"userRole": "guest"}, {"userPrincipalName": "a#EXT#@b.com"}])
async def test_a_guest_who_says_so_is_refused_without_a_team(
    start: Start, issuer: IdentityProvider, fields: dict[str, str]
) -> None:
    bot = await start()
    body = bot.activity()
    body["from"] |= fields
    assert (await bot.post(body, bearer(issuer.token(bot.service_url))))[0] == 403
    assert kept(bot) == 0


async def test_a_large_team_is_read_page_by_page(bot: Edges) -> None:
    bot.teams.members[TEAM] = [*(member(f"{n:036}") for n in range(7)), member()]
    bot.teams.members_page = 3
    assert await status(bot) == 202
    assert len(bot.teams.members_read) == 3


async def test_a_roster_without_an_end_is_no_roster(bot: Edges) -> None:
    bot.teams.members[TEAM] = [member(f"{n:036}") for n in range(70)]
    bot.teams.members_page = 1
    assert await status(bot) == 503
    assert len(bot.teams.members_read) == 60


# how long a roster is known


async def test_who_leaves_is_out_within_five_minutes_without_any_event(bot: Edges) -> None:
    assert await status(bot) == 202
    bot.teams.members[TEAM] = []
    await bot.clock.advance(299)
    assert await status(bot) == 202
    await bot.clock.advance(2)
    assert await status(bot) == 403


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [("membersAdded", [], [member()]), ("membersRemoved", [member()], [])],
)
async def test_an_event_in_the_team_tells_at_once(
    bot: Edges, kind: str, before: list[Any], after: list[Any]
) -> None:
    bot.teams.members[TEAM] = before
    first, second = (202, 403) if before else (403, 202)
    assert await status(bot) == first
    bot.teams.members[TEAM] = after
    assert await status(bot) == first
    assert await status(bot, **in_team(kind)) == 202
    assert await status(bot) == second


async def test_an_event_while_the_roster_is_read_is_not_lost(bot: Edges) -> None:
    bot.teams.members_open.clear()
    asking = asyncio.create_task(status(bot))
    await bot.until(lambda: bot.teams.members_read)
    bot.teams.members[TEAM] = []
    assert await status(bot, **in_team("membersRemoved")) == 202
    bot.teams.members_open.set()
    assert await asking == 202
    assert await status(bot) == 403


async def test_an_event_elsewhere_changes_nothing(bot: Edges) -> None:
    assert await status(bot) == 202
    assert await status(bot, type="conversationUpdate", membersRemoved=[{"id": "29:x"}]) == 202
    assert await status(bot) == 202
    assert bot.teams.members_read == [TEAM]


# where no roster is to be had


NO_ROSTER: dict[str, Refusal] = {
    "not in the team": Refusal(403),
    "no such team": Refusal(404),
    "too often": Refusal(429),
    "down": Refusal(500),
    "no members": Refusal(200),
    "members of another kind": Refusal(200, {"members": {"id": ANALYST}}),
    "no object": Refusal(200, []),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("case", NO_ROSTER)
async def test_nobody_gets_in_and_all_is_well_five_seconds_later(
    bot: Edges, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    refusal = NO_ROSTER[case]
    refusal.times, refusal.method = 1, "GET"
    bot.teams.refusals.append(refusal)
    for fields in ({}, CLICK, {}):
        status, body, headers = await bot.post(bot.activity(**fields), bot.headers)
        assert (status, headers["Retry-After"]) == (503, "5")
        assert body["error"].startswith("The team's members cannot be read")
    assert len(bot.teams.members_read) == 1  # a storm asks Teams but once
    assert kept(bot) == 0
    assert bot.messages == []
    assert "SOC_TEAM_ID" in caplog.text
    await bot.clock.advance(5)
    assert (await bot.post(bot.activity(), bot.headers))[0] == 202


async def test_an_old_roster_is_not_used_while_there_is_no_new_one(bot: Edges) -> None:
    assert await status(bot) == 202
    bot.teams.refusals.append(Refusal(500, method="GET"))
    await bot.clock.advance(301)
    assert await status(bot) == 503


# what is no question


async def test_an_outsider_may_take_the_bot_along_but_it_stays_silent(bot: Edges) -> None:
    added = {"type": "conversationUpdate", "text": None, "membersAdded": [{"id": BOT}]}
    assert await status(bot, **added, **{"from": OUTSIDER}) == 202
    assert await status(bot, **added, **{"from": None}) == 202
    await bot.settled()
    assert bot.messages == []
    assert await status(bot, **added) == 202
    await bot.until(lambda: bot.messages)


async def test_it_leaves_whoever_removes_it(bot: Edges) -> None:
    gone = {"type": "installationUpdate", "action": "remove", "from": OUTSIDER}
    assert await status(bot, **gone) == 202
    assert kept(bot) == 1


async def test_in_local_mode_too(
    stack: AsyncExitStack,
    clock: FakeClock,
    teams: Teams,
    http: ClientSession,
    service_url: str,
    tmp_path: Path,
) -> None:
    settings = Settings.from_env(environment(tmp_path, SOC_TEAM_ID=TEAM))
    bot = await application_at(stack, settings, clock, teams, http, service_url)
    teams.members[TEAM] = [member()]
    assert await status(bot) == 202
    assert await status(bot, **{"from": OUTSIDER}) == 403
