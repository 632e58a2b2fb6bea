"""Puts a proposal on the incident: once, whatever is clicked twice, in whoever's name clicked.

The write's name in Sentinel follows from the proposal, so a repeat is the same write. The intention
is recorded first, then Sentinel is told, then the result: a crash between two of these lines is
mended by the next click.
"""

from __future__ import annotations

import asyncio
import hmac
import html
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from weakref import WeakValueDictionary

from ..domain.incident import (
    MAX_COMMENT_CHARS,
    MAX_COMMENTS,
    MAX_TASK_DESCRIPTION_CHARS,
    MAX_TASK_TITLE_CHARS,
    MAX_TASKS,
)
from ..domain.people import Analyst
from ..domain.proposal import (
    Item,
    Proposal,
    Write,
    WriteKind,
    named_by,
    room_of,
    write_id,
    written,
)
from ..domain.rendering import cut_html, for_sentinel, unmarked
from ..errors import ClickRefused, SentinelError, SentinelRefused
from ..ports import AuditItem, Clicked
from .desk import Desk
from .refusals import Refusals

# Longer than a click may take, by a clock that is 30 s ahead of the one it was made by: until then
# another replica may still be writing.
ABANDONED = timedelta(seconds=45)
_KINDS: tuple[WriteKind, ...] = ("comment", "task")
Piece = tuple[WriteKind, int]

_GONE = "This card is too old, or not mine. Please ask again."
_NOT_TO_RUN = "This query is not put on the incident: somebody might run it."
_ELSEWHERE = "This button belongs to another conversation."
_ANOTHER = "This button is for the analyst who asked."


@dataclass(frozen=True, slots=True)
class Posted:
    """A proposal with everything that was written of it."""

    proposal: Proposal
    writes: tuple[Write, ...]


class Postings:
    """Writes proposals; clicks on the same one take turns within this process."""

    def __init__(self, refusals: Refusals | None = None) -> None:
        self._refusals = refusals or Refusals()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def post(
        self,
        desk: Desk,
        clicked: Clicked,
        proposal_id: str,
        kind: WriteKind,
        item: int | Literal["all"],
    ) -> Posted:
        """Write what a button stands for. Raises ClickRefused and SentinelError."""
        proposal = await checked(desk, clicked, proposal_id)
        if proposal.query is not None and proposal.query.refused:
            raise ClickRefused(_NOT_TO_RUN, "refused query")
        wanted = _wanted(proposal, kind, item)
        lock = self._locks.setdefault(proposal.id, asyncio.Lock())
        async with lock:
            if not await write_once(desk, proposal, wanted, clicked.analyst, clicked.at):
                await self._refusals.record(desk, clicked, "repeated")
            return Posted(proposal, await desk.store.writes(proposal.id))


async def checked(desk: Desk, clicked: Clicked, button_id: str) -> Proposal:
    """Load a proposal and hold the click against it: tenant, place, analyst, age.

    What was prepared for an incident is shown in many places: whoever sees it there may use it.
    Raises ClickRefused. Of another tenant's proposals it does not even say that they exist.
    """
    proposal = await desk.store.proposal(named_by(button_id))
    if proposal is None:
        raise ClickRefused(_GONE, "unknown")
    tenant, conversation = clicked.analyst.tenant, clicked.place.conversation
    if proposal.kind != "playbook":
        if proposal.tenant != tenant:
            raise ClickRefused(_GONE, "another tenant")
        if room_of(proposal.conversation) != room_of(conversation):
            raise ClickRefused(_ELSEWHERE, "another conversation")
        if proposal.only_for and proposal.only_for != clicked.analyst.id:
            raise ClickRefused(_ANOTHER, "another analyst")
    expected = proposal.button_id(tenant, conversation)
    if not hmac.compare_digest(button_id.encode(errors="replace"), expected.encode()):
        raise ClickRefused(_ELSEWHERE, "another conversation, or forged")
    if proposal.expired(clicked.at):
        raise ClickRefused(_GONE, "expired")
    return proposal


def _wanted(proposal: Proposal, kind: WriteKind, item: int | Literal["all"]) -> list[Piece]:
    if proposal.kind == "playbook":
        return _of_playbook(proposal, kind, item)
    if kind == "comment":
        return [("comment", 0)]
    if item == "all":
        return [("task", index) for index in range(len(proposal.items))]
    if not 0 <= item < len(proposal.items):
        raise ClickRefused(_GONE)
    return [("task", item)]


def _of_playbook(proposal: Proposal, kind: WriteKind, item: int | Literal["all"]) -> list[Piece]:
    """Each item has a kind of its own; all tasks as one comment are named by the first of them."""
    if item == "all":
        return [(each.kind, index) for index, each in enumerate(proposal.items)]
    if not 0 <= item < len(proposal.items):
        raise ClickRefused(_GONE)
    if kind != proposal.items[item].kind and (kind, item) != as_one_comment(proposal):
        raise ClickRefused("This button says nothing that I can do.")
    return [(kind, item)]


def as_one_comment(proposal: Proposal) -> Piece | None:
    """How all tasks of a playbook are written as a single comment; None where it has none."""
    return ("comment", proposal.tasks.start) if proposal.tasks else None


async def write_once(
    desk: Desk, proposal: Proposal, wanted: Sequence[Piece], by: Analyst, at: datetime
) -> bool:
    """Write what of `wanted` is not there yet, in the name of `by`; False where all of it was.

    Raises SentinelError.
    """
    desk = desk.at(proposal.incident.workspace)
    done = await desk.store.writes(proposal.id)
    missing = [
        Write(proposal.id, kind, index, by.id, by.name, at)
        for kind, index in wanted
        if not written(done, kind, index)
    ]
    there: set[str] = set()
    for kind in _KINDS:
        if same := [each for each in missing if each.kind == kind]:
            async with _accounted(desk, proposal, same, by):
                there |= await _already_there(desk, proposal, kind, [each.index for each in same])
    for mine in missing:
        # Whoever's click reached Sentinel stays its author; an old one that did not is nobody's.
        stale = None if mine.guid in there else at - ABANDONED
        write = await desk.store.begin_write(mine, stale)
        if write.guid not in there:
            async with _accounted(desk, proposal, [write], by):
                await _write(desk, proposal, write)
        await desk.store.end_write(write, _audited(desk, proposal, write, by, "done"))
    if missing:
        await desk.changed(proposal.incident)
    return bool(missing)


@asynccontextmanager
async def _accounted(
    desk: Desk, proposal: Proposal, writes: Sequence[Write], by: Analyst
) -> AsyncGenerator[None]:
    """Record what Sentinel refused or failed to take."""
    try:
        yield
    except SentinelError as error:
        for write in writes:
            result = type(error).__name__
            await desk.store.record(_audited(desk, proposal, write, by, result))
        raise


async def _already_there(
    desk: Desk, proposal: Proposal, kind: WriteKind, indexes: Sequence[int]
) -> set[str]:
    """What the incident holds, checked against Sentinel's limits. Raises SentinelRefused."""
    incident = proposal.incident.id
    if kind == "task":
        there = {task.id.lower() for task in await desk.incidents.tasks(incident)}
        limit, what = MAX_TASKS, "tasks"
    else:
        there = {comment.id.lower() for comment in await desk.incidents.comments(incident)}
        limit, what = MAX_COMMENTS, "comments"
    more = sum(write_id(proposal.id, kind, index) not in there for index in indexes)
    if len(there) + more > limit:
        raise SentinelRefused(
            f"Incident {proposal.called} has {len(there)} of at most {limit} {what}: "
            f"{more} more would not fit. Nothing was added."
        )
    return there


async def _write(desk: Desk, proposal: Proposal, write: Write) -> None:
    origin = provenance(proposal, write)
    incident = proposal.incident.id
    if write.kind == "comment":
        # In a thread: a long answer takes the Markdown parser longer than the event loop may wait.
        html_text = await asyncio.to_thread(_comment, proposal, write.index)
        body = cut_html(html_text, MAX_COMMENT_CHARS - len(origin))
        await desk.incidents.add_comment(incident, write.guid, body + origin)
        return
    item = proposal.items[write.index]
    title = unmarked(item.title, MAX_TASK_TITLE_CHARS)
    html_text = await asyncio.to_thread(for_sentinel, item.text)
    body = cut_html(html_text, MAX_TASK_DESCRIPTION_CHARS - len(origin))
    await desk.incidents.add_task(incident, write.guid, title, body + origin)


def _comment(proposal: Proposal, index: int) -> str:
    item = proposal.items[index]
    if proposal.kind not in ("tasks", "playbook"):
        return for_sentinel(item.text)
    if item.kind == "comment":
        return f"<h4>{html.escape(unmarked(item.title, 150))}</h4>{for_sentinel(item.text)}"
    listed = (_listed(proposal.items[each]) for each in proposal.tasks)
    return "<h4>Proposed tasks</h4>" + "".join(listed)


def _listed(item: Item) -> str:
    title = html.escape(unmarked(item.title, MAX_TASK_TITLE_CHARS))
    return f"<p><strong>{title}</strong></p>{for_sentinel(item.text)}"


def provenance(proposal: Proposal, write: Write) -> str:
    """The line under everything written: who added it, who asked what, what answered, from what.

    Where nobody clicked (`ENRICH=post`) it says so.
    """
    origin = proposal.provenance
    kinds = [entry.partition("/")[0] for entry in origin.evidence]
    seen = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    model = unmarked(origin.model, 60) if proposal.items[write.index].by_model else ""
    answered = f"Model {model}, prompt {origin.prompt}" if model else "From the playbook, no model"
    at = f"{write.at:%Y-%m-%d %H:%M} UTC"
    if not write.by_id:
        added = f"Added by Casemate (playbook, no analyst asked), {at}."
    elif not origin.asked_by:
        added = f"Added by {unmarked(write.by_name, 60)} with Casemate, {at}, from the playbook."
    else:
        added = (
            f"Added by {unmarked(write.by_name, 60)} with Casemate, {at}. "
            f"{unmarked(origin.asked_by, 60)} asked: “{unmarked(origin.question, 160)}”."
        )
    line = f"{added} {answered}. Evidence: {seen or 'none'}."
    return f"<p><em>{html.escape(line)}</em></p>"


def _audited(desk: Desk, proposal: Proposal, write: Write, by: Analyst, result: str) -> AuditItem:
    return AuditItem(
        at=desk.clock.now(),
        tenant=by.tenant,
        action="write",
        analyst_id=write.by_id,
        analyst_name=write.by_name,
        incident=proposal.incident,
        incident_number=proposal.incident_number,
        detail={
            "result": result,
            "kind": write.kind,
            "guid": write.guid,
            "proposal": proposal.id,
            "item": write.index,
        },
    )
