"""Tells where an incident stands and what was done on it through Casemate, for whoever takes over.

Chats belong to whoever had them: of a question only the asker is told, never the text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from itertools import groupby

from ..domain.incident import CaseFile, IncidentRef
from ..domain.rendering import unmarked
from ..domain.transcript import Thread
from ..ports import AuditItem
from .act import deed
from .desk import Desk

MAX_AUDIT = 500
MAX_DEEDS = 8
MAX_OPEN_TASKS = 6

_QUESTIONS = frozenset({"question", "tasks", "tactics", "kql"})
_SILENT = frozenset({"feedback", "share", "refused click"})
_DEEDS = {"run": "ran a query", "write": "added a task"}


async def recorded(desk: Desk, tenant: str, ref: IncidentRef) -> tuple[str, ...]:
    """Say in lines of plain, unescaped text what this tenant's analysts asked and did."""
    items = await desk.store.audit(ref, MAX_AUDIT)
    own = [item for item in items if item.tenant == tenant]
    return (*_asked(own), *_done(own))


async def done_between(
    desk: Desk, thread: Thread, since: datetime, until: datetime
) -> tuple[str, ...]:
    """Say in lines what a tenant's analysts did on an incident after `since`, up to `until`."""
    items = await desk.store.audit(thread.incident, MAX_AUDIT, after=since)
    own = [item for item in items if item.tenant == thread.tenant and item.at <= until]
    return tuple(_lines(own))


def standing(case: CaseFile) -> tuple[str, ...]:
    """Say in lines of plain, unescaped text how an incident stands and which tasks are open."""
    it = case.incident
    closed = f" as {it.classification}" if it.classification else ""
    left = [task for task in case.tasks if task.status != "Completed"]
    lines = [
        f"{it.status}{closed}, severity {it.severity}, owner {it.owner or 'nobody yet'}, "
        f"{len(left)} of {len(case.tasks)} tasks open."
    ]
    if left:
        titles = "; ".join(unmarked(task.title, 80) for task in left[:MAX_OPEN_TASKS])
        more = f"; and {len(left) - MAX_OPEN_TASKS} more" if len(left) > MAX_OPEN_TASKS else ""
        lines.append(f"Open: {titles}{more}.")
    return tuple(lines)


def _asked(items: Sequence[AuditItem]) -> list[str]:
    asked = [item for item in items if item.action in _QUESTIONS]
    names = {item.analyst_id: _name(item) for item in asked}
    counts = Counter(item.analyst_id for item in asked)
    told = [f"{names[id]} {n} question{'s' * (n > 1)}" for id, n in counts.most_common(MAX_DEEDS)]
    return [f"Asked: {', '.join(told)}."] if told else []


def _done(items: Sequence[AuditItem]) -> list[str]:
    """The newest deeds with their times."""
    lines = _lines(items)
    earlier = len(lines) - MAX_DEEDS
    return [f"And {earlier} earlier.", *lines[-MAX_DEEDS:]] if earlier > 0 else lines


def _lines(items: Sequence[AuditItem]) -> list[str]:
    """Each deed with its time; the same by the same person in a row is one line."""
    deeds = [
        item
        for item in items
        if item.action not in _QUESTIONS | _SILENT and item.detail.get("result", "done") == "done"
    ]
    runs = [list(run) for _, run in groupby(deeds, lambda item: (item.analyst_id, _deed(item)))]
    return [
        f"{run[-1].at:%Y-%m-%d %H:%M} UTC: {_name(run[-1])} {_deed(run[-1])}"
        + (f", {len(run)} times." if len(run) > 1 else ".")
        for run in runs
    ]


def _deed(item: AuditItem) -> str:
    if item.action == "write" and item.detail.get("kind") == "comment":
        return "added a comment"
    if item.action == "act":
        verdict = item.detail.get("verdict")
        after = unmarked(str(item.detail["after"]), 60)
        return deed(item, after) + (f" as {unmarked(str(verdict), 60)}" if verdict else "")
    return _DEEDS.get(item.action, item.action)


def _name(item: AuditItem) -> str:
    return unmarked(item.analyst_name, 60) or "Casemate"
