"""Answers a question about an incident from its evidence, and says so plainly when it cannot."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TypeVar

from ..domain.budget import ANSWER_TOKENS, EVIDENCE_TOKENS, SHARED_TOKENS
from ..domain.evidence import Entry, Evidence, fence, joined, milder, within
from ..domain.fold import as_notes
from ..domain.incident import CaseFile, IncidentRef
from ..domain.injection import shielded
from ..domain.proposal import Item, Proposal, ProposalKind, Provenance
from ..domain.transcript import Message, Thread, Turn, conversation
from ..errors import (
    AnswerCut,
    AnswerFiltered,
    ContextTooLong,
    ModelDown,
    ModelError,
    ModelRefused,
    PromptFiltered,
)
from ..ports import AuditItem, Courier, Said, Usage
from .alone import alone
from .audit import accounted, question_item
from .desk import Desk, new_id, new_marker
from .fallback import playbook_answer
from .past import NOTHING, Past, recall

log = logging.getLogger(__name__)

M = TypeVar("M", bound="Material")

_QUERY = re.compile(r"^[ \t]*(?:```|~~~)[ \t]*(?:kql|kusto)\b", re.IGNORECASE | re.MULTILINE)
_UNCHECKED = (
    "The query in this answer was not checked against this workspace. Press “Write a query” for "
    "one that is."
)


@dataclass(frozen=True, slots=True)
class Material:
    """All that a request to the model is made of, whoever asks."""

    case: CaseFile
    evidence: Evidence
    warnings: tuple[str, ...]
    past: Past = NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Briefing(Material):
    """The same for an analyst's turn, read once for it."""

    said: Said
    thread: Thread


@dataclass(frozen=True, slots=True)
class Asked:
    """An answer with what it rests on. `turn` is None where the answer is not a good one.

    `note` says on the card why this is not what was asked for.
    """

    text: str
    briefing: Briefing
    audit: AuditItem
    proposal: Proposal | None = None
    turn: Turn | None = None
    note: str = ""
    by_model: bool = True


@dataclass(slots=True)
class _Draft:
    """What has been written so far, kept outside the loop so that a failure does not lose it."""

    text: str = ""
    usage: Usage | None = None
    struck: tuple[str, ...] = ()


async def brief(desk: Desk, said: Said, ref: IncidentRef, also: Sequence[Entry] = ()) -> Briefing:
    """Read the case and the analyst's history on it; `also` is what colleagues share.

    Raises SentinelError.
    """
    thread = Thread(said.analyst.tenant, said.analyst.id, ref)
    studied, past = await asyncio.gather(desk.cases.study(ref.id, desk.count), recall(desk, thread))
    evidence = studied.evidence
    if also:
        shared = joined(evidence, "shared", also)
        evidence = within(shared, desk.count, EVIDENCE_TOKENS + SHARED_TOKENS)
    return Briefing(
        said=said,
        thread=thread,
        case=studied.case,
        evidence=evidence,
        past=past,
        warnings=studied.warnings,
    )


def request(desk: Desk, material: Material, question: str, tables: str = "") -> tuple[Message, ...]:
    """Lay material out for the model, with a fresh marker around the evidence.

    `tables` says what the workspace's tables are, where a query is wanted.
    """
    fenced = fence(material.evidence, new_marker(), desk.clock.now())
    given = [tables, fenced] if tables else [fenced]
    past = material.past
    notes = as_notes(past.fold) if past.fold else ""
    return conversation(desk.prompts["system"].text, notes, past.turns, given, question)


def tamed(material: M) -> M:
    """The same with less that a filter may object to: milder evidence, no rows, no notes."""
    turns = tuple(replace(turn, data="") for turn in material.past.turns)
    return replace(material, evidence=milder(material.evidence), past=Past(turns))


def alarmed(material: M, struck: Sequence[str]) -> M:
    """The same with a warning of what the model's service found in what it was sent."""
    return replace(material, warnings=(*material.warnings, *shielded(struck)))


def struck_by(error: ModelError) -> tuple[str, ...]:
    """What the service blocked a prompt for."""
    return error.categories if isinstance(error, PromptFiltered) else ()


@accounted("question")
@alone
async def ask(
    desk: Desk,
    said: Said,
    ref: IncidentRef,
    question: str,
    courier: Courier,
    shown: str = "",
    also: Sequence[Entry] = (),
) -> Asked:
    """Answer `question`; `shown` is how the history calls it where that is shorter.

    `also` is evidence that colleagues share.
    Raises SentinelError, Stopped, and the ModelErrors that have nothing better than a sentence.
    """
    await courier.working("Reading the incident…")
    briefing = await brief(desk, said, ref, also)
    draft = _Draft()
    try:
        await _write(desk, briefing, question, courier, draft)
    except (ModelDown, ModelRefused, PromptFiltered) as error:
        return _from_playbook(desk, alarmed(briefing, draft.struck), error)
    except (AnswerCut, AnswerFiltered) as error:
        return _unfinished(desk, briefing, draft, error)
    return _good(desk, alarmed(briefing, draft.struck), shown or question, draft)


async def _write(
    desk: Desk, briefing: Briefing, question: str, courier: Courier, draft: _Draft
) -> None:
    """Have the model write; once more with less where what we sent was the trouble."""
    try:
        await _stream(desk, request(desk, briefing, question), courier, draft)
    except PromptFiltered as error:
        log.info("the prompt was filtered (%s); trying milder evidence", error.categories)
        draft.struck = error.categories
        await _stream(desk, request(desk, tamed(briefing), question), courier, draft)
    except ContextTooLong:
        less = within(briefing.evidence, desk.count, EVIDENCE_TOKENS // 3)
        short = replace(briefing, evidence=less, past=NOTHING)
        await _stream(desk, request(desk, short, question), courier, draft)


async def _stream(desk: Desk, messages: Sequence[Message], courier: Courier, draft: _Draft) -> None:
    pieces = desk.model.stream(messages, limit=ANSWER_TOKENS)
    async with aclosing(pieces) as stream:
        async for piece in stream:
            if isinstance(piece, Usage):
                draft.usage = piece
                draft.struck += piece.shields
            else:
                draft.text += piece
                courier.write(draft.text)


def proposal(
    desk: Desk, briefing: Briefing, kind: ProposalKind, items: Sequence[Item], model: str
) -> Proposal:
    """What the buttons under an answer would write, with where it comes from."""
    said = briefing.said
    return Proposal(
        id=new_id(),
        kind=kind,
        tenant=said.analyst.tenant,
        conversation=said.place.conversation,
        incident=briefing.thread.incident,
        incident_number=briefing.case.incident.number,
        where=briefing.case.incident.where,
        items=tuple(items),
        provenance=Provenance(
            asked_by=said.analyst.name,
            question=said.text[:500],
            model=model,
            prompt=desk.prompts.taken,
            evidence=briefing.evidence.ids,
            asked_by_id=said.analyst.id,
        ),
        created=said.at,
        only_for=said.analyst.id if said.place.kind == "personal" else "",
    )


def audited(
    desk: Desk, briefing: Briefing, action: str, outcome: str, usage: Usage | None
) -> AuditItem:
    """The record of a question that was answered, with the evidence that the answer had."""
    item = question_item(desk, briefing.said, briefing.thread.incident, action, outcome, usage)
    detail = {**item.detail, "evidence": list(briefing.evidence.ids)}
    return replace(item, detail=detail, incident_number=briefing.case.incident.number)


def turn(
    desk: Desk, briefing: Briefing, question: str, answer: str, model: str, size: int = 0
) -> Turn:
    """A question and its good answer, as the history keeps them; `size` in tokens, where known."""
    said = briefing.said
    return Turn(
        id=said.id,
        question=question,
        answer=answer,
        asked=said.at,
        tokens=desk.count(question) + (size or desk.count(answer)),
        model=model,
        prompt=desk.prompts.taken,
        fold=briefing.past.fold if briefing.past.fresh else None,
    )


def _good(desk: Desk, briefing: Briefing, question: str, draft: _Draft) -> Asked:
    model = draft.usage.model if draft.usage else desk.model.name
    # The model has counted its answer; our counter takes half a millisecond for it.
    size = draft.usage.answer_tokens if draft.usage else 0
    title = f"Answer: {question}"
    return Asked(
        text=draft.text,
        briefing=briefing,
        audit=audited(desk, briefing, "question", "answered", draft.usage),
        proposal=proposal(desk, briefing, "answer", [Item(title, draft.text)], model),
        turn=turn(desk, briefing, question, draft.text, model, size),
        note=_UNCHECKED if _QUERY.search(draft.text) else "",
    )


def _unfinished(desk: Desk, briefing: Briefing, draft: _Draft, error: ModelError) -> Asked:
    """Show what there is with the reason it stops; it is not kept and not offered for writing."""
    text = f"{draft.text.rstrip()}\n\n{error.sentence}".strip()
    outcome = type(error).__name__
    return Asked(text, briefing, audited(desk, briefing, "question", outcome, draft.usage))


def _from_playbook(desk: Desk, briefing: Briefing, error: ModelError) -> Asked:
    """Answer from the playbook's texts, and say that no model wrote them."""
    text = playbook_answer(desk, briefing.case, error.sentence)
    # Not the question: titles of tasks are evidence, and a filtered question would come back in it.
    title = "First steps from the playbook"
    return Asked(
        text=text,
        briefing=briefing,
        audit=audited(desk, briefing, "question", type(error).__name__, None),
        proposal=proposal(desk, briefing, "answer", [Item(title, text)], ""),
        note="This comes from the playbook: no model wrote it.",
        by_model=False,
    )
