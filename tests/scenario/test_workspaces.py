"""Several workspaces: every word, click, card, write and announcement is in its own."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestServer

from bot.kusto.checker import FOLDER
from sandbox.world import PROVIDER_PATH, WORKSPACE
from tests.azure.model_double import ModelDouble, says
from tests.clock import FakeClock
from tests.scenario.announcing import about, arrives, hook, pass_time, subscribed, told_by
from tests.scenario.conftest import Soc, find_button
from tests.scenario.second import OTHER, Second, two
from tests.scenario.test_kql import card_text, checker_is_there, query
from tests.scenario.test_sign_in import signed_in
from tests.teams_double import Sent
from tests.token_service_double import CONNECTION, Azure, TokenService

Both = tuple[Soc, Second]


@pytest.fixture
async def both(clock: FakeClock, tmp_path: Path) -> AsyncIterator[Both]:
    async with two(clock, tmp_path, ENRICH="off") as both:
        yield both
        assert both[0].teams.violations == []


def says_words(sent: Sent) -> list[str]:
    """What the buttons of a card say in the analyst's name."""

    def within(part: Any) -> list[str]:
        if isinstance(part, dict):
            own = [part["data"]["words"]] if part.get("data", {}).get("verb") == "say" else []
            return own + [words for each in part.values() for words in within(each)]
        return [words for each in part for words in within(each)] if isinstance(part, list) else []

    return within(sent.card)


def read(world: Any) -> list[str]:
    """What was asked of single incidents since it was last looked."""
    paths = [entry.path for entry in world.log if "/incidents/" in entry.path.lower()]
    world.log.clear()
    return paths


async def there(soc: Soc, second: Second, number: int) -> int:
    """The webhook's status for an incident of the second workspace."""
    path = PROVIDER_PATH.replace(f"/workspaces/{WORKSPACE}", f"/workspaces/{OTHER}")
    body = {"object": {"id": f"{path}/incidents/{second.case(number).name}"}}
    async with soc.http.post(f"{soc.bot_url}/api/incidents", json=body) as response:
        return response.status


# --- which one is meant --------------------------------------------------------------------------


async def test_a_number_in_both_is_asked_about_and_the_button_asks_the_same_again(
    both: Both,
) -> None:
    soc, _ = both
    chat = soc.chat()
    which = await chat.ask("what happened in incident 3177?")
    assert "contoso and in fabrikam" in which.text and "Which one do you mean?" in which.text
    assert says_words(which) == [
        "what happened in incident 3177 in contoso?",
        "what happened in incident 3177 in fabrikam?",
    ]
    answer = await chat.press(which, "3177 in fabrikam")
    assert "in the order of the alerts" in answer.text
    assert "Incident 3177 in fabrikam" in card_text(answer)

    soc.world.log.clear()
    assert "Fabrikam:" in card_text(await chat.ask("incident 3177")), "it is in focus"
    assert "Which one" in (await chat.ask("incident 3174")).text, "another one is not"
    answer = await chat.ask("and which accounts should I reset first?")
    assert 'Following on from "what happened in incident 3177 in fabrikam?"' in answer.text


async def test_a_number_in_one_of_them_is_taken(both: Both) -> None:
    soc, _ = both
    del soc.world.cases[soc.case(3174).name]
    chat = soc.chat()
    shown = await chat.ask("incident 3174")
    assert "Incident 3174 in fabrikam is in focus" in shown.text
    assert "summary #3174 in fabrikam" in says_words(shown)
    missing = await chat.ask("incident 999")
    assert "There is no incident 999 in contoso, fabrikam." in missing.text


async def test_a_link_names_its_workspace(both: Both) -> None:
    soc, _ = both
    for workspace, name in ((WORKSPACE, "contoso"), (OTHER, "fabrikam")):
        path = PROVIDER_PATH.replace(f"/workspaces/{WORKSPACE}", f"/workspaces/{workspace}")
        link = f"https://portal.azure.com/#asset/x/Incident{path}/incidents/{soc.case(3177).name}"
        assert f"Incident 3177 in {name} is in focus" in (await soc.chat().ask(link)).text
    async with soc.http.get(f"{soc.bot_url}/readyz") as response:
        state = await response.json()
    assert {"sentinel:contoso", "sentinel:fabrikam", "logs:contoso", "logs:fabrikam"} <= set(state)


WORDS = (
    "summary 3177",
    "tasks 3177",
    "tactics 3177",
    "severity low on 3177",
    "severity high for #3177",
    "assign 3177",
    "close incident 3177",
    "handover 3177",
    "history #3177",
    "cost 3177",
    "kql 3177",
    "what happened in incident 3177",
    "reset 3177",
    "incident 3177",
)


async def test_every_word_is_about_the_workspace_it_names_and_so_is_what_follows(
    both: Both,
) -> None:
    soc, second = both
    chat = soc.chat()
    read(soc.world)
    for word in WORDS:
        await chat.ask(f"{word} in fabrikam")
        assert read(second.world), word
        assert read(soc.world) == [], word
    for word in ("summary", "assign", "history", "cost", "close", "what is known of the hosts?"):
        await chat.ask(word)
        assert read(second.world), word
        assert read(soc.world) == [], word
    assert "3177 in fabrikam" in (await chat.ask("history")).text


async def test_help_tells_of_workspaces(both: Both) -> None:
    assert "contoso, fabrikam" in card_text(await both[0].chat().ask("help"))


# --- what is kept, and what is written -----------------------------------------------------------


async def test_two_incidents_of_one_number_and_id_have_chats_of_their_own(both: Both) -> None:
    soc, _ = both
    chat = soc.chat()
    for name in ("contoso", "fabrikam"):
        answer = await chat.ask(f"what happened in incident 3177 in {name}?")
        assert "Following on" not in answer.text
    for name, other in (("contoso", "fabrikam"), ("fabrikam", "contoso")):
        shown = card_text(await chat.ask(f"history 3177 in {name}"))
        assert f"in {name}?" in shown and f"in {other}?" not in shown
    assert "1 question" in (await chat.ask("reset 3177 in contoso")).text
    assert "in fabrikam?" in card_text(await chat.ask("history 3177 in fabrikam"))


async def test_what_is_clicked_is_written_where_it_belongs_and_audited(
    both: Both, tmp_path: Path
) -> None:
    soc, second = both
    chat = soc.chat()
    tasks, comments = len(second.case(3177).tasks), len(second.case(3177).comments)
    answer = await chat.ask("what happened in incident 3177 in fabrikam?")
    await chat.ask("incident 3177 in contoso")  # the focus is elsewhere now
    await chat.click(answer, "Add as task")
    await chat.click(answer, "Add as comment")
    shown = await chat.ask("incident 3177 in fabrikam")
    await chat.ask("incident 3177 in contoso")
    card = await chat.click(shown, "Assign to me")
    assert "Incident 3177 in fabrikam" in json.dumps(card["value"])
    assert soc.writes() == []
    assert len(second.case(3177).tasks) == tasks + 1
    assert len(second.case(3177).comments) == comments + 1
    assert second.case(3177).incident["properties"]["owner"]["assignedTo"] == "Ana Analyst"

    def audited() -> list[tuple[str, ...]]:
        with sqlite3.connect(tmp_path / "casemate.db") as db:
            return db.execute("SELECT workspace, item FROM audit").fetchall()

    items = [(place, json.loads(item)) for place, item in await asyncio.to_thread(audited)]
    deeds = [(place, item["action"]) for place, item in items]
    assert deeds == [
        ("fabrikam", "question"),
        ("fabrikam", "write"),
        ("fabrikam", "write"),
        ("fabrikam", "act"),
    ]


async def test_a_button_for_a_workspace_that_is_not_served_is_refused(both: Both) -> None:
    soc, _ = both
    chat = soc.chat()
    shown = await chat.ask("incident 3177 in fabrikam")
    action = find_button(shown.card, "Assign to me")
    assert action is not None
    action["data"]["workspace"] = "adatum"
    card = await chat.click(shown, "Assign to me")
    assert "no incident that I work with" in json.dumps(card)


@pytest.mark.skipif(not FOLDER.is_dir(), reason="npm ci was not run in bot/kusto")
async def test_a_query_is_bound_and_run_in_its_own_workspace(
    clock: FakeClock, tmp_path: Path
) -> None:
    model = ModelDouble(says("unused"))
    async with TestServer(model.app()) as server:
        url = str(server.make_url("/openai/v1/"))
        async with two(clock, tmp_path, AZURE_OPENAI_BASE_URL=url, KQL_CHECKERS="1") as both:
            soc, second = both
            await checker_is_there(soc)
            chat = soc.chat()
            model.answers = [query("FabrikamOnly_CL | where TimeGenerated > ago(1d)")]
            refused = await chat.ask("kql 3177 in contoso")
            assert "FabrikamOnly_CL" in card_text(refused)
            assert "checked against" not in card_text(refused)
            written = await chat.ask("kql 3177 in fabrikam")
            assert "checked against 1 table" in card_text(written)
            assert f"%2Fworkspaces%2F{OTHER}" in card_text(written), "so does the portal's link"
            await chat.ask("incident 3177 in contoso")
            second.queries.clear()
            rows = await chat.press(written, "Run")
            assert "Incident 3177 in fabrikam: the query returned 1 row" in rows.text
            assert len(second.queries) == 1 and "FabrikamOnly_CL" in second.queries[0]


# --- announcing ----------------------------------------------------------------------------------


def copied(soc: Soc, second: Second, number: int, severity: str = "High") -> None:
    """The same new incident in both, by number and id."""
    case = arrives(soc, number, severity)
    arrives(Soc(soc.teams, second.world, soc.clock, soc.http, soc.service_url), number, severity)
    second.case(number).incident["properties"]["title"] = "Fabrikam: the same number"
    assert case.name == second.case(number).name


async def test_each_workspaces_incidents_are_announced_and_prepared_for_themselves(
    clock: FakeClock, tmp_path: Path
) -> None:
    async with two(clock, tmp_path, ENRICH="suggest") as (soc, second):
        chat = await subscribed(soc)
        copied(soc, second, 4001)
        assert await hook(soc, soc.case(4001)) == 202
        assert await there(soc, second, 4001) == 202
        await soc.until(lambda: len([m for m in chat.messages if "Add all" in told_by(m)]) == 2)
        [sent] = [each for each in chat.messages if "4001 in fabrikam" in each.text]
        assert "Fabrikam: the same number" in told_by(sent)
        await chat.click(sent, "Add all")
        assert soc.writes() == []
        assert second.case(4001).tasks
        await pass_time(soc, 30)
        [other] = [each for each in chat.messages if "4001 in contoso" in each.text]
        assert find_button(other.card, "Add all"), "what was added to one is not on the other"
        assert len(chat.messages) == 3
        assert soc.teams.violations == []


async def test_all_are_polled_and_a_place_may_hear_of_one(clock: FakeClock, tmp_path: Path) -> None:
    async with two(clock, tmp_path, ENRICH="off", POLL_SECONDS="20") as (soc, second):
        whole = await subscribed(soc)
        one = soc.chat("groupChat")
        assert (
            "new incidents from High on in fabrikam"
            in (await one.ask("subscribe high in Fabrikam")).text
        )
        await pass_time(soc, 5)
        copied(soc, second, 4002)
        copied(soc, second, 4003, "Low")
        await soc.until(lambda: len(whole.messages) == 5)
        await pass_time(soc, 30)
        assert len(one.messages) == 2 and "4002 in fabrikam" in one.messages[-1].text
        assert not about(one, 4003)


# --- one of them is down -------------------------------------------------------------------------


async def test_one_that_is_down_takes_nothing_from_the_other(both: Both) -> None:
    soc, second = both
    second.down = True
    chat = soc.chat()
    listed = await chat.ask("incidents")
    assert "Sentinel (the workspace fabrikam) has a problem of its own" in listed.text
    assert "in contoso" in card_text(listed) and "in fabrikam" not in card_text(listed)
    assert "⚠" not in (await chat.ask("incidents high in contoso")).text
    await chat.ask("incident 3177 in contoso")
    assert "in the order of the alerts" in (await chat.ask("what happened?")).text
    # It may have that number as well.
    which = await chat.ask("incident 3174")
    assert "It is in contoso, and may be elsewhere: Sentinel (the workspace fabrikam)" in which.text
    assert says_words(which) == ["incident 3174 in contoso"]
    unknown = await chat.ask("incident 999")
    assert "the workspace fabrikam" in unknown.text and "no incident" not in unknown.text
    place = await subscribed(soc)
    assert await there(soc, second, 3177) == 202
    await hook(soc, arrives(soc, 4005))
    await soc.until(lambda: len(place.messages) == 2)
    second.down = False
    listed = await chat.ask("incidents mine in fabrikam")
    assert "There are no incidents **mine** in the workspace fabrikam" in listed.text
    async with soc.http.get(f"{soc.bot_url}/readyz") as response:
        assert response.status == 200


async def test_lists_of_both_are_one_list_newest_first(both: Both) -> None:
    soc, _ = both
    chat = soc.chat()
    first = await chat.ask("incidents")
    assert "in contoso" in card_text(first) and "in fabrikam" in card_text(first)
    assert "Which incident do you mean" in (await chat.ask("summary")).text
    fabrikam = await chat.ask("incidents high in fabrikam")
    assert "**high** in fabrikam" in fabrikam.text and "in contoso" not in card_text(fabrikam)
    opened = await chat.click(fabrikam, "Open")
    assert opened is not None
    await soc.until(lambda: "in fabrikam is in focus" in chat.messages[-1].text)


# --- whose rights --------------------------------------------------------------------------------


async def test_an_analysts_own_rights_are_asked_for_in_each(
    clock: FakeClock, tmp_path: Path
) -> None:
    service = TokenService(clock)
    azure = Azure(service)
    ana = "55555555-5555-4555-8555-555555555555"
    service.consented = {f"29:{ana}"}
    async with TestServer(service.app) as server:
        signing = {
            "WRITE_AS": "analyst",
            "OAUTH_CONNECTION": CONNECTION,
            "TOKEN_SERVICE": str(server.make_url("")),
        }
        async with two(clock, tmp_path, guard=azure.guard, **signing) as (soc, _):
            chat = await signed_in(soc.chat(analyst=ana))
            azure.refuses = lambda who, method, path: bool(who) and "/sandbox/" in path
            shown = await chat.ask("incident 3177")
            assert "Incident 3177 in fabrikam is in focus" in shown.text, "the only one to see"
            azure.asked.clear()
            await chat.click(shown, "Assign to me")
            assert azure.who(OTHER, "PUT") == {ana}
            listed = await chat.ask("incidents")
            assert "You lack Microsoft Sentinel Reader on the workspace contoso" in listed.text
