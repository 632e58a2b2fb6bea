"""What is said when no model can: the playbook's texts with the incident's own entities in them."""

from __future__ import annotations

from prompts.playbook import PlaybookTask

from ..domain.incident import CaseFile
from ..domain.rendering import unmarked
from .desk import Desk

MAX_TASKS = 6


def playbook_tasks(desk: Desk, case: CaseFile) -> tuple[PlaybookTask, ...]:
    """The first steps for an incident's tactics, its entities filled in."""
    entities = [(entity.kind, unmarked(entity.name, 60)) for entity in case.entities]
    tasks = desk.playbook.tasks(case.incident.tactics)[:MAX_TASKS]
    return tuple(task.filled(entities) for task in tasks)


def playbook_answer(desk: Desk, case: CaseFile, reason: str) -> str:
    """An answer that no model wrote, with the reason for it in front."""
    tactics = desk.playbook.known(case.incident.tactics)
    described = [f"**{tactic.title}.** {tactic.description}" for tactic in tactics]
    tasks = playbook_tasks(desk, case)
    return desk.prompts["playbook_answer"].render(
        reason=reason,
        incident=str(case.incident.number),
        tactics="\n\n".join(described) or "The incident names no tactic that the playbook knows.",
        tasks="\n".join(
            f"{n}. **{task.title}.** {task.description}" for n, task in enumerate(tasks, 1)
        ),
    )
