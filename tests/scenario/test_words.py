"""The words an analyst can say, and what each one does."""

from __future__ import annotations

import pytest

from tests.scenario.conftest import Soc, find_button


@pytest.mark.parametrize("word", ["help", "Help", "/help", "HELP!", "  help  ", ""])
async def test_help(soc: Soc, word: str) -> None:
    answer = await soc.chat().ask(word)
    assert "incident N" in str(answer.card)
    assert find_button(answer.card, "nothing") is None


async def test_arriving_somewhere_says_help_once(soc: Soc) -> None:
    chat = soc.chat()
    activity = chat.activity(
        type="conversationUpdate", membersAdded=[{"id": chat.activity()["recipient"]["id"]}]
    )
    await chat.post(activity)
    await chat.post(chat.activity(type="conversationUpdate", membersAdded=[{"id": "29:someone"}]))
    await chat.post(chat.activity(type="messageReaction", reactionsAdded=[{"type": "like"}]))
    await soc.until(lambda: chat.messages)
    await soc.clock.advance(20)
    assert [message.text for message in chat.messages] == [
        "I answer questions about Sentinel incidents."
    ]


async def test_incidents_lists_the_open_ones_and_opens_one(soc: Soc) -> None:
    chat = soc.chat()
    listed = await chat.ask("incidents")
    assert "3177" in str(listed.card)
    assert "3164" not in str(listed.card), "closed incidents are not listed"

    said = await chat.click(listed, "Open")
    assert said["type"] == "application/vnd.microsoft.activity.message"
    await soc.until(lambda: len(chat.messages) == 2)
    assert "is in focus" in chat.messages[1].text
    assert "Following on" not in (await chat.ask("which hosts should I isolate?")).text


@pytest.mark.parametrize("words", ["incident 3177", "#3177", "INCIDENT #3177", "/incident 3177"])
async def test_incident_shows_the_incident(soc: Soc, words: str) -> None:
    answer = await soc.chat().ask(words)
    assert answer.text.startswith("Incident 3177 is in focus")
    assert "High" in str(answer.card)
    assert "Open in Sentinel" in str(answer.card)


async def test_a_link_sets_the_focus(soc: Soc) -> None:
    chat = soc.chat()
    case = soc.case(3177)
    link = f"https://portal.azure.com/#asset/x/Incident{case.incident['id']}"
    answer = await chat.ask(f"which accounts should I reset first in {link} ?")
    assert "lena.fischer@contoso.com" in answer.text
    other = soc.chat()
    answer = await other.ask("https://security.microsoft.com/incident2/48231/overview?tid=1")
    assert answer.text.startswith("Incident 3177 is in focus")


async def test_text_in_an_incident_that_talks_to_us_is_named(soc: Soc) -> None:
    answer = await soc.chat().ask("incident 3179")
    assert "contains text addressed to an assistant" in str(answer.card)


async def test_what_cannot_be_found_gets_a_helpful_answer(soc: Soc) -> None:
    chat = soc.chat()
    unknown = await chat.ask("what happened in incident 99999?")
    assert "99999" in unknown.text
    nothing = await chat.ask("what happened?")
    assert "Which incident" in nothing.text
    assert find_button(nothing.card, "Open") is not None
    for case in soc.world.cases.values():
        case.incident["properties"]["status"] = "Closed"
    empty = await chat.ask("incidents")
    assert "no open incidents" in empty.text


async def test_an_event_number_is_not_an_incident(soc: Soc) -> None:
    chat = soc.chat()
    await chat.ask("incident 3177")
    answer = await chat.ask("what does event #4625 mean here?")
    assert "Incident 3177" in str(answer.card)


async def test_summary(soc: Soc) -> None:
    chat = soc.chat()
    answer = await chat.ask("summary 3177")
    assert "Sandbox model" in answer.text
    assert find_button(answer.card, "Add as comment") is not None
    history = await chat.ask("history")
    assert "Summarise the incident" in str(history.card)


async def test_tasks_are_added_one_by_one_and_all_together(soc: Soc) -> None:
    chat = soc.chat()
    answer = await chat.ask("tasks 3177")
    proposed = str(answer.card).count("'title': 'Add task'") // 2
    assert proposed >= 3
    before = len(soc.case(3177).tasks)

    card = (await chat.click(answer, "Add task"))["value"]
    assert len(soc.case(3177).tasks) == before + 1
    assert "Added by Ana Analyst" in str(card)

    card = (await chat.click(answer, "Add all"))["value"]
    assert len(soc.case(3177).tasks) == before + proposed
    assert find_button(card, "Add task") is None

    comments = len(soc.case(3177).comments)
    await chat.click(answer, "Also as a comment")
    assert len(soc.case(3177).comments) == comments + 1
    written = [task["properties"] for task in soc.case(3177).tasks.values()][before:]
    assert sum(len(task["title"]) for task in written) < 2000
    assert all("Added by Ana Analyst" in task["description"] for task in written)


async def test_history_reset_and_forget_me(soc: Soc) -> None:
    chat = soc.chat()
    await chat.ask("what happened in incident 3177?")
    await chat.ask("and which accounts should I reset first?")
    assert "which accounts should I reset first" in str((await chat.ask("history")).card)

    assert "2 questions" in (await chat.ask("reset")).text
    assert "not asked anything" in (await chat.ask("history")).text
    assert "Following on" not in (await chat.ask("which accounts should I reset?")).text

    assert "1 question " in (await chat.ask("forget me")).text
    assert "Which incident" in (await chat.ask("which accounts should I reset?")).text


async def test_a_question_that_is_too_long_says_so(soc: Soc) -> None:
    chat = soc.chat()
    answer = await chat.ask("incident 3177 " + "x" * 5000)
    assert "4,000" in answer.text
