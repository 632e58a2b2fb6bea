"""Taking over: where an incident stands, what others found, which incidents there are, the cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox.world import Fault
from tests.clock import FakeClock
from tests.scenario.conftest import Chat, Soc, find_button, running
from tests.teams_double import Sent

BEN = {"name": "Ben Becker", "analyst": "66666666-6666-4666-8666-666666666666"}
ASKED = "which accounts should I reset first in incident 3177?"


def sentence(answer: dict[str, Any]) -> str:
    assert answer["type"] == "application/vnd.microsoft.activity.message"
    return answer["value"]


async def press_forged(chat: Chat, message: Sent, **changes: Any) -> dict[str, Any]:
    """Press the button that shares with other data than the card gave it."""
    button = find_button(message.card, "Share with the next shift")
    assert button is not None
    data = {**button["data"], **changes}
    action = {"type": "Action.Execute", "verb": "share", "data": data}
    value = {"action": action, "trigger": "manual"}
    status, body = await chat.post(
        chat.activity(type="invoke", name="adaptiveCard/action", replyToId=message.id, value=value)
    )
    assert status == 200
    return body


# --- summary -------------------------------------------------------------------------------------


async def test_a_summary_says_what_was_asked_and_done_but_not_the_questions(soc: Soc) -> None:
    ana, ben = soc.chat(), soc.chat(**BEN)
    await ben.ask(ASKED)
    await ben.click(await ben.ask("tasks"), "Add task")
    summary = await ana.ask("summary 3177")
    card = str(summary.card)
    assert "New, severity High, owner nobody yet" in card
    assert "Asked: Ben Becker 2 questions." in card
    assert "Ben Becker added a task." in card
    assert "which accounts" not in card + summary.text
    again = str((await ana.ask("summary")).card)
    assert "Ben Becker 2 questions, Ana Analyst 1 question." in again


async def test_the_record_stays_on_the_card_after_a_click(soc: Soc) -> None:
    chat = soc.chat()
    summary = await chat.ask("summary 3177")
    card = (await chat.click(summary, "Add as comment"))["value"]
    assert "Where it stands" in str(card) and "Added as comment by Ana Analyst" in str(card)


# --- sharing and handover ------------------------------------------------------------------------


async def test_what_was_shared_reaches_the_next_shift_and_nothing_else(soc: Soc) -> None:
    ben, ana = soc.chat(**BEN), soc.chat()
    shared = await ben.ask(ASKED)
    await ben.ask("which hosts should I isolate?")
    card = (await ben.click(shared, "Share with the next shift"))["value"]
    assert "Shared with the next shift" in str(card)
    assert find_button(card, "Share with the next shift") is None

    handover = await ana.ask("handover 3177")
    assert "Handover of incident 3177" in handover.text
    assert "**Shared answers**" in handover.text
    assert "Ben Becker" in handover.text and "which accounts should I reset" in handover.text
    assert "which hosts" not in handover.text
    assert "Ben Becker 2 questions" in handover.text
    assert find_button(handover.card, "Share with the next shift") is None

    await ana.click(handover, "Add as comment")
    [comment] = [
        each["properties"]["message"]
        for each in soc.case(3177).comments.values()
        if "Added by Ana Analyst" in each["properties"]["message"]
    ]
    assert "Shared answers" in comment and "which accounts should I reset" in comment
    assert soc.teams.violations == []


async def test_sharing_is_undone_with_a_click(soc: Soc) -> None:
    ben, ana = soc.chat(**BEN), soc.chat()
    answer = await ben.ask(ASKED)
    await ben.click(answer, "Share with the next shift")
    card = (await press_forged(ben, answer, shared=False))["value"]
    assert find_button(card, "Share with the next shift") is not None
    assert "Shared answers" not in (await ana.ask("handover 3177")).text


async def test_forget_me_takes_back_what_was_shared(soc: Soc) -> None:
    ben, ana = soc.chat(**BEN), soc.chat()
    await ben.click(await ben.ask(ASKED), "Share with the next shift")
    await ben.ask("forget me")
    assert "Shared answers" not in (await ana.ask("handover 3177")).text


async def test_a_shared_answer_stays_shared_on_its_card(soc: Soc) -> None:
    chat = soc.chat()
    answer = await chat.ask(ASKED)
    await chat.click(answer, "Share with the next shift")
    card = (await chat.click(answer, "Add as task"))["value"]
    assert "Shared with the next shift" in str(card)
    assert find_button(card, "Stop sharing") is not None


async def test_only_the_one_who_asked_shares(soc: Soc) -> None:
    ana = soc.chat("groupChat")
    ben = soc.chat("groupChat", ana.conversation, **BEN)
    answer = await ana.ask(ASKED)
    refused = sentence(await ben.click(answer, "Share with the next shift"))
    assert "Only Ana Analyst" in refused
    assert "Shared answers" not in (await soc.chat(**BEN).ask("handover 3177")).text
    await ana.click(answer, "Share with the next shift")
    await soc.until(lambda: "✓ Shared with the next shift" in str(answer.card))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"shared": "yes"}, "nothing that I can do"),
        ({"shared": None}, "nothing that I can do"),
        ({"proposal": "p-forged"}, "too old, or not mine"),
        ({"proposal": ["x"]}, "nothing that I can do"),
        ({"proposal": "x" * 500}, "nothing that I can do"),
    ],
)
async def test_forged_sharing_is_refused(soc: Soc, changes: dict[str, Any], says: str) -> None:
    chat = soc.chat()
    answer = await chat.ask(ASKED)
    assert says in sentence(await press_forged(chat, answer, **changes))


async def test_only_an_answer_can_be_shared(soc: Soc) -> None:
    chat = soc.chat()
    answer = await chat.ask(ASKED)
    for other in (await chat.ask("tasks"), await chat.ask("handover")):
        button = find_button(other.card, "Add all") or find_button(other.card, "Add as comment")
        assert button is not None
        said = await press_forged(chat, answer, proposal=button["data"]["proposal"])
        assert "no answer to share" in sentence(said)


async def test_in_a_group_a_handover_points_to_the_personal_chat(soc: Soc) -> None:
    chat = soc.chat("groupChat")
    answer = await chat.ask("handover 3177")
    assert "**handover #3177** in your own chat" in answer.text
    link = find_button(answer.card, "Open our chat", "Action.OpenUrl")
    assert link is not None
    assert link["url"] == (
        "https://teams.microsoft.com/l/chat/0/0?users=28%3A44444444-4444-4444-8444-444444444444"
        "&message=handover%20%233177"
    )
    odd = chat.activity(text="handover", recipient={"id": "28:x&y", "name": "Casemate"})
    await chat.post(odd)
    await soc.until(lambda: len(chat.messages) == 2)
    assert chat.messages[1].card is None, "an id that is none of a bot is in no link"


async def test_handover_without_an_incident_asks_which(soc: Soc) -> None:
    assert "Which incident" in (await soc.chat().ask("handover")).text
    assert "Which incident" in (await soc.chat().ask("cost")).text


# --- incidents -----------------------------------------------------------------------------------


def numbers(message: Sent) -> set[int]:
    return {n for n in range(3160, 3400) if f"'{n} · " in str(message.card)}


@pytest.mark.parametrize(
    ("words", "listed"),
    [
        ("incidents high", {3170, 3177, 3178}),
        ("incidents new high", {3177, 3178}),
        ("INCIDENTS, High, New!", {3177, 3178}),
        ("/incidents medium active", {3174}),
        ("incidents low medium new", {3171, 3175, 3176, 3179}),
        ("incidents closed", {3164}),
        ("incidents active closed low", {3164}),
        ("incidents high page 1", {3170, 3177, 3178}),
        ("incidents page 0", {3170, 3171, 3172, 3174, 3175, 3176, 3177, 3178, 3179}),
    ],
)
async def test_incidents_are_filtered(soc: Soc, words: str, listed: set[int]) -> None:
    assert numbers(await soc.chat().ask(words)) == listed


async def test_mine_are_those_i_own(soc: Soc) -> None:
    chat = soc.chat()
    none = await chat.ask("incidents mine")
    assert "no incidents **mine**" in none.text
    for number in (3174, 3177):
        soc.case(number).incident["properties"]["owner"] = {"objectId": chat.analyst}
    soc.case(3170).incident["properties"]["owner"]["assignedTo"] = "Ana Analyst"
    assert numbers(await chat.ask("incidents mine")) == {3174, 3177}
    assert numbers(await chat.ask("incidents high mine")) == {3177}


async def test_mine_works_where_the_service_does_not_filter_by_owner(soc: Soc) -> None:
    chat = soc.chat()
    soc.case(3174).incident["properties"]["owner"] = {"objectId": chat.analyst.upper()}
    soc.world.faults.append(Fault("GET", "/incidents", 400))
    assert numbers(await chat.ask("incidents mine")) == {3174}
    soc.world.faults.append(Fault("GET", "/incidents", 400))
    assert "Sentinel" in (await chat.ask("incidents new")).text, "another refusal is told"


async def test_incidents_come_in_pages(soc: Soc) -> None:
    case = soc.case(3171)
    for number in range(3300, 3312):
        name = f"00000000-0000-4000-8000-{number:012d}"
        copy = {**case.incident, "name": name, "id": case.incident["id"].replace(case.name, name)}
        copy["properties"] = {**case.incident["properties"], "incidentNumber": number}
        soc.world.cases[name] = type(case)(copy)
    chat = soc.chat()
    first = await chat.ask("incidents low new")
    second = await chat.press(first, "Next")
    assert "page 2" in second.text
    assert len(numbers(first)) == 10 and len(numbers(second)) == 3
    assert numbers(first) | numbers(second) == {3171, *range(3300, 3312)}
    assert find_button(second.card, "Next", "Action.Submit") is None
    assert "no incidents on page 3" in (await chat.ask("incidents low new page 3")).text
    assert "no incidents on page 50" in (await chat.ask("incidents page 9999")).text


@pytest.mark.parametrize(
    "words", ["incidents like this one?", "incidents page", "incidents high' or 1 eq 1"]
)
async def test_other_words_make_it_a_question(soc: Soc, words: str) -> None:
    chat = soc.chat()
    await chat.ask("incident 3177")
    assert "Sandbox model" in (await chat.ask(words)).text


# --- cost ----------------------------------------------------------------------------------------


async def test_cost_counts_tokens_of_me_and_everyone(soc: Soc) -> None:
    ana, ben = soc.chat(), soc.chat(**BEN)
    assert "**You**: 0 answers, 0 tokens read" in (await ana.ask("cost 3177")).text
    await ana.ask(ASKED)
    await ana.ask("summary")
    await ben.ask("tasks 3177")
    mine = (await ana.ask("cost")).text
    assert "incident 3177" in mine and "US dollars" not in mine
    assert "**You**: 2 answers" in mine and "**Everyone**: 3 answers" in mine
    assert "**You**: 0 answers" in (await ben.ask("cost 3175")).text


async def test_cost_has_a_price_where_prices_are_known(clock: FakeClock, tmp_path: Path) -> None:
    prices = '{"input": 1000000, "cached": 0, "output": 0}'
    async with running(clock, tmp_path, MODEL_PRICES=prices) as soc:
        chat = soc.chat()
        await chat.ask(ASKED)
        text = (await chat.ask("cost")).text
        [line] = [each for each in text.splitlines() if "**You**" in each]
        read = int(line.split(" tokens read")[0].rsplit(" ", 1)[1].replace(",", ""))
        cached = line.partition("(")[2].partition(" of them")[0].replace(",", "")
        assert f"about {read - int(cached or 0)}.0000 US dollars" in line and read > 1_000
