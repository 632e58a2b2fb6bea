"""The main job: ask about an incident, follow up, put it on the incident."""

from __future__ import annotations

from tests.scenario.conftest import Soc, find_button


async def test_ask_follow_up_and_add_a_task(soc: Soc) -> None:
    chat = soc.chat()

    first = await chat.ask("what happened in incident 3177?")
    assert "in the order of the alerts" in first.text
    assert "Incident 3177" in str(first.card)
    assert first.updates[0] == "Reading the incident…"
    assert len(first.updates) > 2
    entities = first.now["entities"]
    assert entities[0] == {"type": "streaminfo", "streamId": first.id, "streamType": "final"}
    assert entities[1]["additionalType"] == ["AIGeneratedContent"]
    assert entities[1]["citation"]
    assert first.now["channelData"]["feedbackLoop"] == {"type": "default"}

    second = await chat.ask("and which accounts should I reset first?")
    assert "Following on" in second.text
    assert "lena.fischer" in second.text

    tasks_before = len(soc.case(3177).tasks)
    response = await chat.click(second, "Add as task")
    assert response["type"] == "application/vnd.microsoft.card.adaptive"
    assert "Ana Analyst" in str(response["value"])
    assert find_button(response["value"], "Add as task") is None
    assert find_button(response["value"], "Add as comment")
    assert len(soc.case(3177).tasks) == tasks_before + 1
    assert soc.teams.violations == []
    print(first.text); print(second.text); print(list(soc.case(3177).tasks.values())[-1]); print(first.card)
