"""Proposes investigation tasks for an incident, under 2,000 characters in all.

This is the second part of the playbook that Casemate grew out of.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from ..domain.budget import ANSWER_TOKENS
from ..domain.incident import IncidentRef
from ..domain.proposal import Item, Proposal
from ..domain.transcript import Turn
from ..errors import AnswerMalformed, ModelDown, ModelRefused, PromptFiltered
from ..ports import AuditItem, Courier, JsonObject, Said, Usage
from .ask import Briefing, audited, brief, proposal, request, turn
from .desk import Desk
from .fallback import playbook_tasks

MAX_CHARS = 2_000
MAX_TASKS = 10
SCHEMA: JsonObject = {
    "type": "object",
    "properties": {
        "tasks": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"title": {"type": "string"}, "description": {"type": "string"}},
                "required": ["title", "description"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["tasks"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Proposed:
    """A list of tasks to choose from; `turn` is None where the playbook wrote it."""

    briefing: Briefing
    proposal: Proposal
    audit: AuditItem
    turn: Turn | None = None
    note: str = ""


async def propose_tasks(desk: Desk, said: Said, ref: IncidentRef, courier: Courier) -> Proposed:
    """Ask the model for tasks; the playbook's own where it cannot give any.

    Raises SentinelError, Stopped, and the ModelErrors that have nothing better than a sentence.
    """
    await courier.working("Working out the tasks…")
    briefing = await brief(desk, said, ref)
    messages = request(desk, briefing, desk.prompts["tasks"].text)
    try:
        answer = await desk.model.structured(
            messages, name="tasks", schema=SCHEMA, limit=ANSWER_TOKENS
        )
        items = _items(answer.data)
    except (ModelDown, ModelRefused, PromptFiltered, AnswerMalformed) as error:
        return _from_playbook(desk, briefing, error.sentence)
    return _good(desk, briefing, items, answer.usage)


def _good(desk: Desk, briefing: Briefing, items: Sequence[Item], usage: Usage) -> Proposed:
    listed = "\n".join(f"{n}. {item.title}: {item.text}" for n, item in enumerate(items, 1))
    return Proposed(
        briefing=briefing,
        proposal=proposal(desk, briefing, "tasks", items, usage.model),
        audit=audited(desk, briefing, "tasks", f"{len(items)} tasks", usage),
        turn=turn(desk, briefing, "Which tasks do you propose?", listed, usage.model),
    )


def _from_playbook(desk: Desk, briefing: Briefing, reason: str) -> Proposed:
    tasks = playbook_tasks(desk, briefing.case)
    items = shortened(Item(task.title, task.description) for task in tasks)
    return Proposed(
        briefing=briefing,
        proposal=proposal(desk, briefing, "tasks", items, ""),
        audit=audited(desk, briefing, "tasks", "from the playbook", None),
        note=f"{reason} These tasks come from the playbook: no model wrote them.",
    )


def _items(data: JsonObject) -> tuple[Item, ...]:
    """Read the model's list leniently. Raises AnswerMalformed where there is no task in it."""
    tasks = data.get("tasks")
    entries = cast(list[Any], tasks) if isinstance(tasks, list) else []
    fields = [cast(JsonObject, entry) for entry in entries if isinstance(entry, dict)]
    read = (
        Item(str(each.get("title") or "").strip(), str(each.get("description") or "").strip())
        for each in fields
    )
    items = shortened(item for item in read if item.title)
    if not items:
        raise AnswerMalformed("The model proposed no tasks.")
    return items


def shortened(items: Iterable[Item]) -> tuple[Item, ...]:
    """Keep the first tasks whose titles and descriptions stay under 2,000 characters together.

    The first one is kept in any case, cut where it must be.
    """
    kept: list[Item] = []
    room = MAX_CHARS - 1
    for item in items:
        title = item.title[:150]
        size = len(title) + len(item.text)
        if (size > room and kept) or len(kept) == MAX_TASKS:
            break
        kept.append(Item(title, item.text[: room - len(title)]))
        room -= size
    return tuple(kept)
