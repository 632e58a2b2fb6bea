"""Proposes investigation tasks for an incident, under 2,000 characters in all.

This is the second part of the playbook that Casemate grew out of.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ..domain.incident import CaseFile, IncidentRef
from ..domain.proposal import Item, Proposal
from ..domain.transcript import Turn
from ..errors import AnswerMalformed, ModelDown, ModelRefused, PromptFiltered
from ..ports import AuditItem, Courier, JsonObject, Said, Structured, Usage
from .alone import alone
from .ask import Briefing, Material, alarmed, audited, brief, proposal, struck_by, turn
from .audit import accounted
from .desk import Desk
from .fallback import playbook_tasks
from .structured import entries, structured

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


@accounted("tasks")
@alone
async def propose_tasks(desk: Desk, said: Said, ref: IncidentRef, courier: Courier) -> Proposed:
    """Ask the model for tasks; the playbook's own where it cannot give any.

    Raises SentinelError, Stopped, and the ModelErrors that have nothing better than a sentence.
    """
    await courier.working("Working out the tasks…")
    briefing = await brief(desk, said, ref)
    try:
        items, usage = await model_tasks(desk, briefing)
    except (ModelDown, ModelRefused, PromptFiltered, AnswerMalformed) as error:
        return _from_playbook(desk, alarmed(briefing, struck_by(error)), error.sentence)
    return _good(desk, alarmed(briefing, usage.shields), items, usage)


async def model_tasks(desk: Desk, material: Material) -> tuple[tuple[Item, ...], Usage]:
    """The model's tasks, of all its choices, and their cost. Raises ModelError."""
    answer = await structured(desk, material, desk.prompts["tasks"].text, "tasks", SCHEMA)
    return _items(answer), answer.usage


def prepared_tasks(desk: Desk, case: CaseFile) -> tuple[Item, ...]:
    """The playbook's tasks, for when the model has none."""
    tasks = playbook_tasks(desk, case)
    return shortened(Item(task.title, task.description, by_model=False) for task in tasks)


def _good(desk: Desk, briefing: Briefing, items: Sequence[Item], usage: Usage) -> Proposed:
    listed = "\n".join(f"{n}. {item.title}: {item.text}" for n, item in enumerate(items, 1))
    return Proposed(
        briefing=briefing,
        proposal=proposal(desk, briefing, "tasks", items, usage.model),
        audit=audited(desk, briefing, "tasks", f"{len(items)} tasks", usage),
        turn=turn(desk, briefing, "Which tasks do you propose?", listed, usage.model),
    )


def _from_playbook(desk: Desk, briefing: Briefing, reason: str) -> Proposed:
    items = prepared_tasks(desk, briefing.case)
    return Proposed(
        briefing=briefing,
        proposal=proposal(desk, briefing, "tasks", items, ""),
        audit=audited(desk, briefing, "tasks", "from the playbook", None),
        note=f"{reason} These tasks come from the playbook: no model wrote them.",
    )


def _items(answer: Structured) -> tuple[Item, ...]:
    """Read the model's lists leniently. Raises AnswerMalformed where there is no task in them.

    Two tasks of one title are one: choices of the same request mostly say the same.
    """
    read: dict[str, Item] = {}
    for each in entries(answer, "tasks"):
        title = str(each.get("title") or "").strip()
        item = Item(title, str(each.get("description") or "").strip())
        if title:
            read.setdefault(" ".join(title.casefold().split()), item)
    items = shortened(read.values())
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
        kept.append(replace(item, title=title, text=item.text[: room - len(title)]))
        room -= size
    return tuple(kept)
