"""What Azure's prompt shields find in a request is on the card, whether they block it or not."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.azure.model_double import delta, document, says, sse, usage, whole
from tests.injection.room import KQL, Room, opened

BLOCKED = document(
    {
        "error": {
            "message": "The response was filtered.",
            "code": "content_filter",
            "param": "prompt",
            "status": 400,
            "innererror": {
                "code": "ResponsibleAIPolicyViolation",
                "content_filter_result": {
                    "indirect_attack": {"filtered": True, "detected": True},
                    "jailbreak": {"filtered": False, "detected": False},
                },
            },
        }
    },
    400,
)
ANNOTATED = {
    "choices": [],
    "prompt_filter_results": [
        {"content_filter_results": {"jailbreak": {"filtered": False, "detected": True}}}
    ],
}
INDIRECT = "What the model was sent (Azure's prompt shields: indirect attack) contains text"
JAILBREAK = INDIRECT.replace("indirect attack", "jailbreak")
TASKS = whole(json.dumps({"tasks": [{"title": "Call her", "description": "By phone."}]}))
TACTICS = whole(json.dumps({"tactics": [{"name": "Execution", "description": "It ran."}]}))
QUERY = whole(json.dumps({"query": KQL, "explanation": "Sign-ins.", "assumptions": []}))


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    async with opened(tmp_path) as room:
        room.add(5001)
        yield room


@pytest.mark.parametrize(
    ("words", "answers", "warning"),
    [
        (
            "what happened?",
            [sse(ANNOTATED, delta("All."), delta(finish="stop"), usage())],
            JAILBREAK,
        ),
        ("what happened?", [BLOCKED, says("All.")], INDIRECT),
        ("what happened?", [BLOCKED, BLOCKED], INDIRECT),
        ("tasks", [BLOCKED, TASKS], INDIRECT),
        ("tasks", [BLOCKED, BLOCKED], INDIRECT),
        ("tactics", [BLOCKED, TACTICS], INDIRECT),
        ("tactics", [BLOCKED, BLOCKED], INDIRECT),
        ("kql who signed in?", [BLOCKED, QUERY], INDIRECT),
        ("what happened?", [says("All.")], ""),
        ("tasks", [TASKS], ""),
    ],
)
async def test_what_a_shield_found_is_on_the_card(
    room: Room, words: str, answers: list[Any], warning: str
) -> None:
    chat = room.soc.chat("groupChat")
    await chat.ask("incident 5001")
    room.model.answers = answers
    card = json.dumps((await chat.ask(words)).card).replace("\\\\", "")
    assert ("prompt shields" in card) == bool(warning) and warning in card
