"""Prepares an incident as the playbook did that Casemate grew out of, before anybody asks.

Three parts: what its tactics mean here (a comment), what to look into (tasks), and a query that
carries that out (a task). Each is prepared for itself: where the model cannot, the playbook's own
texts stand in, and what cannot be had is left out with a sentence about why.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ..domain.incident import IncidentRef
from ..domain.injection import shielded, warned
from ..domain.people import Analyst
from ..domain.proposal import Item, Proposal, Provenance
from ..domain.query import WrittenQuery
from ..domain.query_text import as_markdown
from ..domain.rendering import unmarked
from ..errors import ModelError, SentinelError, SentinelForbidden, SentinelRefused
from ..ports import AuditItem, JsonObject, Said
from .ask import Material
from .audit import cost
from .desk import Desk, new_id
from .kql import TITLE, Bill, composed, current, vetted
from .post import Piece, as_one_comment, write_once
from .tactics import model_tactics, prepared_tactics, tactics_of
from .tasks import model_tasks, prepared_tasks

log = logging.getLogger(__name__)

NOBODY = Analyst("", "", "Casemate")
_HOUR = timedelta(hours=1)
_NO_TACTICS = "The incident names no tactic, so there is none to explain."


@dataclass(frozen=True, slots=True)
class Enrichment:
    """What is prepared for an incident; `notes` say what is missing or no model's, and why."""

    proposal: Proposal
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Part:
    items: tuple[Item, ...] = ()
    note: str = ""
    query: WrittenQuery | None = None


class Budget:
    """How many incidents the model may prepare: at most `per_hour` within any hour."""

    def __init__(self, per_hour: int) -> None:
        self._per_hour = per_hour
        self._taken: deque[datetime] = deque()

    def take(self, now: datetime) -> bool:
        """Take one, unless the last hour's are used up."""
        while self._taken and self._taken[0] <= now - _HOUR:
            self._taken.popleft()
        if len(self._taken) >= self._per_hour:
            return False
        self._taken.append(now)
        return True


class _Nobody:
    """A courier for work that nobody waits for."""

    async def working(self, text: str) -> None:
        pass

    def write(self, text: str) -> None:
        pass


async def enrich(desk: Desk, ref: IncidentRef, *, asked: Said | None = None) -> Enrichment:
    """Prepare an incident, once: a repeat gives what the first one, on any replica, prepared.

    `asked` names in the audit who wanted it; what is prepared is everybody's and does not. Raises
    SentinelError where the incident cannot be read, and StoreError.
    """
    if kept := await desk.store.proposal(desk.playbook_id(ref)):
        return _kept(kept)
    desk = replace(desk, prompts=desk.prompts.noting())
    studied = await desk.cases.study(ref.id, desk.count)
    material = Material(studied.case, studied.evidence, studied.warnings)
    bill = Bill()
    tactics, (tasks, query) = await asyncio.gather(
        _tactics(desk, material, bill), _tasks_and_query(desk, material, bill)
    )
    proposal = _proposal(desk, ref, material, (tactics, tasks, query), bill)
    await desk.store.keep_proposal(proposal)
    await desk.store.record(_audited(desk, proposal, bill, asked))
    # Two replicas at once: both go on with the texts that were kept first.
    return _kept(await desk.store.proposal(proposal.id) or proposal)


async def post(
    desk: Desk, enrichment: Enrichment, *, tasks_as_comment: bool = False
) -> tuple[str, ...]:
    """Write everything at once, with nobody's click (`ENRICH=post`); a repeat writes nothing.

    What Sentinel refuses for good, as a full incident, comes back as sentences. Raises
    SentinelError, after all parts were tried, where one may succeed later.
    """
    refused: list[str] = []
    later: SentinelError | None = None
    for pieces in _groups(enrichment.proposal, tasks_as_comment):
        try:
            await write_once(desk, enrichment.proposal, pieces, NOBODY, desk.clock.now())
        except (SentinelRefused, SentinelForbidden) as error:
            log.warning("a part of %s is not written: %s", enrichment.proposal.id, error.sentence)
            refused.append(error.sentence)
        except SentinelError as error:
            later = error
    if later is not None:
        raise later
    return tuple(refused)


def _groups(proposal: Proposal, tasks_as_comment: bool) -> list[list[Piece]]:
    """What is written together: each of these can find the incident full for itself."""
    pieces: list[Piece] = [(item.kind, index) for index, item in enumerate(proposal.items)]
    tasks = proposal.tasks
    groups = [pieces[: tasks.start], pieces[tasks.start : tasks.stop], pieces[tasks.stop :]]
    if tasks_as_comment and (comment := as_one_comment(proposal)):
        groups.append([comment])
    return [group for group in groups if group]


async def _tactics(desk: Desk, material: Material, bill: Bill) -> _Part:
    if not tactics_of(material.case):
        return _Part(note=_NO_TACTICS)
    title = f"Tactics of incident {material.case.incident.number}"
    try:
        text, usage = await model_tactics(desk, material)
    except ModelError as error:
        text = prepared_tactics(desk, material.case)
        note = f"{error.sentence} The tactics are explained by the playbook: no model wrote that."
        return _Part((Item(title, text, "comment", by_model=False),), note)
    bill.add(usage)
    return _Part((Item(title, text, "comment"),))


async def _tasks_and_query(desk: Desk, material: Material, bill: Bill) -> tuple[_Part, _Part]:
    try:
        items, usage = await model_tasks(desk, material)
    except ModelError as error:
        note = f"{error.sentence} The tasks come from the playbook: no model wrote them."
        tasks = _Part(prepared_tasks(desk, material.case), note)
    else:
        bill.add(usage)
        tasks = _Part(items)
    return tasks, await _query(desk, material, tasks.items, bill)


async def playbook_question(desk: Desk, ref: IncidentRef) -> str:
    """What the prepared tasks ask of the logs; empty where nothing was prepared."""
    kept = await desk.store.proposal(desk.playbook_id(ref))
    return _question(desk, [kept.items[index] for index in kept.tasks]) if kept else ""


def _question(desk: Desk, tasks: Sequence[Item]) -> str:
    titles = "\n".join(f"- {unmarked(task.title, 100)}" for task in tasks)
    return desk.prompts["playbook_query"].render(tasks=titles)


async def _query(desk: Desk, material: Material, tasks: Sequence[Item], bill: Bill) -> _Part:
    question = _question(desk, tasks)
    catalogue = await current(desk)
    note = ""
    try:
        query = await composed(desk, material, catalogue, question, _Nobody(), bill)
    except ModelError as error:
        try:
            query, title = await vetted(desk, material.case, catalogue, error)
        except ModelError:
            return _Part(note=f"{error.sentence} There is no query for this incident.")
        note = f"{error.sentence} The query is the playbook's “{title}”: no model wrote it."
    if query.refused:
        return _Part(note=f"The query was left out. {' '.join(query.problems)}")
    text = f"{_state(query)}\n\n{as_markdown(query)}"
    return _Part((Item(TITLE, text, by_model=not query.by_playbook),), note, query)


def _state(query: WrittenQuery) -> str:
    """What a reader on the incident, who has no card, must know before running it."""
    if query.good:
        return f"Checked against {query.tables} tables of this workspace."
    if query.tables is None:
        return "Not checked against this workspace: it may name tables that are not here."
    return "This query does not fit this workspace yet."


def _proposal(
    desk: Desk, ref: IncidentRef, material: Material, parts: Sequence[_Part], bill: Bill
) -> Proposal:
    incident = material.case.incident
    items = tuple(item for part in parts for item in part.items)
    message: JsonObject = {
        "text": f"Prepared for incident {incident.called}. Nothing is written until you click.",
        "citations": [],
        "by_model": any(item.by_model for item in items),
        "warnings": list(material.warnings),
        "notes": [*(part.note for part in parts if part.note), *warned(shielded(bill.struck))],
    }
    return Proposal(
        id=desk.playbook_id(ref),
        kind="playbook",
        tenant="",
        conversation="",
        incident=ref,
        incident_number=incident.number,
        where=incident.where,
        items=items,
        provenance=Provenance(
            asked_by="",
            question="",
            model=bill.usage.model if bill.usage else "",
            prompt=desk.prompts.taken,
            evidence=material.evidence.ids,
        ),
        created=desk.clock.now(),
        message=message,
        query=next((part.query for part in parts if part.query), None),
        secret=new_id(),
    )


def _kept(proposal: Proposal) -> Enrichment:
    return Enrichment(proposal, tuple(proposal.message["notes"]))


def _audited(desk: Desk, proposal: Proposal, bill: Bill, asked: Said | None) -> AuditItem:
    analyst = asked.analyst if asked else NOBODY
    return AuditItem(
        at=desk.clock.now(),
        tenant=analyst.tenant,
        action="enrich",
        analyst_id=analyst.id,
        analyst_name=analyst.name,
        incident=proposal.incident,
        incident_number=proposal.incident_number,
        detail={
            "proposal": proposal.id,
            "items": len(proposal.items),
            "notes": list(proposal.message["notes"]),
            "rounds": bill.rounds,
            "prompt": proposal.provenance.prompt,
            **cost(bill.usage),
            "evidence": list(proposal.provenance.evidence),
        },
    )
