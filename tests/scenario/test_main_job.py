"""The main job: ask about an incident, follow up, put it on the incident."""

from __future__ import annotations

import asyncio

from tests.scenario.conftest import Soc, find_button


async def test_ask_follow_up_and_add_a_task(soc: Soc) -> None:
    chat = soc.chat()

    first = await chat.ask("what happened in incident 3177?")
    assert "in the order of the alerts" in first.text
    assert "Incident 3177" in str(first.card)
    assert first.updates[0] == "Reading the incident…"
    assert len(first.updates) > 2
    streaminfo, label = first.now["entities"]
    assert streaminfo == {"type": "streaminfo", "streamId": first.id, "streamType": "final"}
    assert label["additionalType"] == ["AIGeneratedContent"]
    assert label["citation"]
    assert first.now["channelData"]["feedbackLoop"] == {"type": "default"}

    second = await chat.ask("and which accounts should I reset first?")
    assert 'Following on from "what happened in incident 3177?"' in second.text
    assert "lena.fischer@contoso.com" in second.text

    before = len(soc.case(3177).tasks)
    card = await chat.click(second, "Add as task")
    assert card["type"] == "application/vnd.microsoft.card.adaptive"
    assert "Ana Analyst" in str(card["value"])
    assert find_button(card["value"], "Add as task") is None
    assert find_button(card["value"], "Add as comment") is not None
    assert len(soc.case(3177).tasks) == before + 1

    async with soc.http.get(f"{soc.world.portal_url}/incidents/3177") as response:
        page = await response.text()
    assert page.count("Answer: and which accounts should I reset first?") == 1
    assert "Added by Ana Analyst with Casemate" in page
    assert soc.teams.violations == []


async def test_in_a_group_chat_there_is_typing_and_one_message(soc: Soc) -> None:
    chat = soc.chat("groupChat")
    answer = await chat.ask("what happened in incident 3177?")
    assert soc.teams.typing == [chat.conversation]
    assert len(answer.history) == 1
    assert len(chat.messages) == 1

    await chat.click(answer, "Add as comment")
    await soc.until(lambda: len(answer.history) == 2)
    assert "Added as comment by Ana Analyst" in str(answer.card)
    assert answer.text == answer.history[0]["text"], "the text above the card stays"
    assert answer.now["entities"] == answer.history[0]["entities"], "and so do the citations"
    assert soc.teams.violations == []


async def test_in_a_channel_the_thread_is_about_its_incident(soc: Soc) -> None:
    thread = "19:channel@thread.tacv2;messageid=1728640934763"
    ana = soc.chat("channel", thread)
    mention = {"type": "mention", "text": "<at>Casemate</at>", "mentioned": {"id": BOT_ID}}
    await ana.say("<at>Casemate</at> what happened in incident 3177?", entities=[mention])
    await soc.until(lambda: ana.messages)

    ben = soc.chat("channel", thread, name="Ben", analyst="66666666-6666-4666-8666-666666666666")
    answer = await ben.ask("<at>Casemate</at> which hosts should I isolate?")
    assert "Incident 3177" in str(answer.card)
    assert "Following on" not in answer.text, "Ben's history is his own"
    assert {sent.conversation for sent in soc.teams.sent.values()} == {thread}

    elsewhere = soc.chat("channel", "19:channel@thread.tacv2;messageid=9", name="Ben")
    assert "Which incident" in (await elsewhere.ask("which hosts should I isolate?")).text
    assert soc.teams.violations == []


BOT_ID = "28:44444444-4444-4444-8444-444444444444"


async def test_a_double_click_writes_once(soc: Soc) -> None:
    chat = soc.chat()
    answer = await chat.ask("what happened in incident 3177?")
    before = len(soc.case(3177).tasks)
    cards = await asyncio.gather(*(chat.click(answer, "Add as task") for _ in range(5)))
    assert len(soc.case(3177).tasks) == before + 1
    assert len([path for method, path in soc.writes() if "/tasks/" in path]) == 1
    assert all("Ana Analyst" in str(card["value"]) for card in cards)


async def test_who_clicks_second_reads_who_was_first(soc: Soc) -> None:
    ana = soc.chat("groupChat")
    ben = soc.chat(
        "groupChat",
        ana.conversation,
        name="Ben Blue",
        analyst="66666666-6666-4666-8666-666666666666",
    )
    answer = await ana.ask("what happened in incident 3177?")
    await ben.click(answer, "Add as task")
    answer.history[:] = answer.history[:1]  # Ana's client still shows the old card
    card = await ana.click(answer, "Add as task")
    assert "Ben Blue" in str(card["value"])
    assert "Ana" not in str(card["value"])


async def test_a_repeated_activity_is_answered_once(soc: Soc) -> None:
    chat = soc.chat()
    activity = chat.activity(text="what happened in incident 3177?")
    statuses = await asyncio.gather(*(chat.post(activity) for _ in range(8)))
    assert {status for status, _ in statuses} == {202}
    await soc.until(lambda: chat.messages)
    assert (await chat.post(activity))[0] == 202
    await soc.clock.advance(30)
    assert len(chat.messages) == 1
    assert len(soc.teams.sent) == 1


async def test_two_quick_questions_are_answered_in_order(soc: Soc) -> None:
    chat = soc.chat()
    await chat.say("what happened in incident 3177?")
    await chat.say("and which accounts should I reset first?")
    await chat.say("help")
    await soc.until(lambda: len(chat.messages) == 3)
    first, second, third = chat.messages
    assert "in the order of the alerts" in first.text
    assert "Following on" in second.text
    assert third.text.startswith("I answer questions")
    assert soc.teams.violations == []


async def test_two_analysts_on_one_incident_have_a_history_each(soc: Soc) -> None:
    ana, ben = soc.chat(), soc.chat(name="Ben", analyst="66666666-6666-4666-8666-666666666666")
    await ana.ask("what happened in incident 3177?")
    await ben.ask("incident 3177")
    answer = await ben.ask("and which accounts should I reset first?")
    assert "Following on" not in answer.text
    assert "You have not asked" not in (await ben.ask("history")).text
    assert "what happened" not in str(ben.messages[-1].card)


async def test_a_filtered_prompt_does_not_poison_the_next(soc: Soc) -> None:
    chat = soc.chat()
    filtered = await chat.ask("sandbox:filter what happened in incident 3177?")
    assert "content filter" in filtered.text
    assert "From the playbook, not from the model" in filtered.text
    assert "no model wrote it" in str(filtered.card)
    assert filtered.now.get("entities", [])[1:] == [], "nothing here was made by AI"

    good = await chat.ask("which accounts should I reset first?")
    assert "lena.fischer@contoso.com" in good.text
    assert "Following on" not in good.text, "the filtered turn is no part of the history"


async def test_the_old_client_submits(soc: Soc) -> None:
    """`Action.Submit` arrives as a message with a value; the card is edited where it stands."""
    chat = soc.chat()
    answer = await chat.ask("what happened in incident 3177?")
    button = find_button(answer.card, "Add as task")
    assert button is not None
    data = button["fallback"]["data"]
    before = len(soc.case(3177).tasks)
    status, _ = await chat.post(chat.activity(text=None, value=data, replyToId=answer.id))
    assert status == 202
    await soc.until(lambda: "Added as task by Ana Analyst" in str(answer.card))
    assert len(soc.case(3177).tasks) == before + 1
