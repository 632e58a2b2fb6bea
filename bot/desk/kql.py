"""Writes a query that works in this workspace: grounded, guarded, checked, repaired, or flagged.

The model sees only tables that the workspace has. What it writes passes the guard and Microsoft's
own language service; what is wrong goes back to it with the nearest names, twice at most. A query
that still has problems is shown with them, never as good.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from ..domain.budget import ANSWER_TOKENS, QUESTION_CHARS, SCHEMA_TOKENS
from ..domain.catalogue import choose_tables, columns_within
from ..domain.incident import CaseFile, IncidentRef
from ..domain.proposal import Item, Proposal
from ..domain.query import Catalogue, Checked, Diagnostic, WrittenQuery
from ..domain.query_guard import guard
from ..domain.query_text import as_markdown, entity_lets, entity_names, from_answer, inert
from ..domain.transcript import Message, Turn
from ..errors import (
    AnswerMalformed,
    LogsError,
    ModelDown,
    ModelError,
    ModelRefused,
    PromptFiltered,
)
from ..ports import AuditItem, Courier, JsonObject, Said, Usage
from .alone import alone
from .ask import Briefing, Material, alarmed, audited, brief, proposal, request, tamed, turn
from .audit import accounted, fingerprint
from .desk import Desk

log = logging.getLogger(__name__)

TITLE = "KQL to run"
MAX_TABLES = 12
REPAIRS = 2
MAX_PROBLEMS = 6
SCHEMA_SECONDS = 10.0
SCHEMA: JsonObject = {
    "type": "object",
    "properties": {
        "query": {"type": "string"},
        "explanation": {"type": "string"},
        "assumptions": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["query", "explanation", "assumptions"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Written:
    """A query on its card; `turn` is None where it is not good enough to build on."""

    briefing: Briefing
    query: WrittenQuery
    proposal: Proposal
    audit: AuditItem
    turn: Turn | None = None
    note: str = ""


@dataclass(slots=True)
class Bill:
    """What all rounds cost together, kept outside the loop so that a failure does not lose it."""

    usage: Usage | None = None
    rounds: int = 0
    struck: tuple[str, ...] = ()

    def add(self, usage: Usage) -> None:
        """Add what one more round cost."""
        last = self.usage
        self.rounds += 1
        self.struck += usage.shields
        self.usage = usage if last is None else Usage(
            usage.model,
            last.prompt_tokens + usage.prompt_tokens,
            last.completion_tokens + usage.completion_tokens,
            last.cached_tokens + usage.cached_tokens,
            reasoning_tokens=last.reasoning_tokens + usage.reasoning_tokens,
        )  # fmt: skip


@accounted("kql")
@alone
async def write_query(
    desk: Desk, said: Said, ref: IncidentRef, question: str, courier: Courier
) -> Written:
    """Write a query that answers `question`; a vetted one where the model cannot.

    Raises SentinelError, Stopped, and the ModelErrors that have nothing better than a sentence.
    """
    await courier.working("Looking at the workspace's tables…")
    briefing, catalogue = await asyncio.gather(brief(desk, said, ref), current(desk))
    bill = Bill()
    try:
        query = await composed(desk, briefing, catalogue, question, courier, bill)
    except (ModelDown, ModelRefused, PromptFiltered, AnswerMalformed) as error:
        return await _from_playbook(desk, alarmed(briefing, bill.struck), catalogue, error, bill)
    briefing = alarmed(briefing, bill.struck)
    model = bill.usage.model if bill.usage else desk.model.name
    kept = turn(desk, briefing, question, as_markdown(query, query.body), model)
    return Written(
        briefing=briefing,
        query=query,
        proposal=_proposed(desk, briefing, query, model),
        audit=_audited(desk, briefing, query, bill),
        turn=kept if not query.problems else None,
    )


async def current(desk: Desk) -> Catalogue | None:
    """The workspace's catalogue, stale or not; None where it cannot be had in good time."""
    if (catalogue := desk.schema.current()) is not None:
        return catalogue
    try:
        async with asyncio.timeout(SCHEMA_SECONDS):
            return await desk.schema.refresh()
    except (LogsError, TimeoutError) as error:
        log.warning("there is no schema to write a query with: %r", error)
        return None


async def composed(
    desk: Desk,
    material: Material,
    catalogue: Catalogue | None,
    question: str,
    courier: Courier,
    bill: Bill,
) -> WrittenQuery:
    """Have the model write, and mend what the checker or the guard finds, twice at most.

    Raises ModelError where there is no query at all.
    """
    await courier.working("Writing the query…")
    question = question[:QUESTION_CHARS]
    names = ", ".join(f"`{name}`" for name in entity_names(material.case.entities))
    prompt = desk.prompts["kql"].render(question=question, names=names or "none")
    tables = await asyncio.to_thread(_tables, desk, material.case, catalogue, question)
    try:
        messages = request(desk, material, prompt, tables)
        choices = await _asked(desk, messages, bill)
    except PromptFiltered as error:
        bill.struck += error.categories
        messages = request(desk, tamed(material), prompt, tables)
        choices = await _asked(desk, messages, bill)
    for attempt in range(REPAIRS + 1):
        await courier.working("Checking the query…")
        data, query = await _best(desk, catalogue, material.case, choices)
        if not query.problems or attempt == REPAIRS:
            return query
        problems = "\n".join(f"- {problem}" for problem in query.problems)
        repair = desk.prompts["kql_repair"].render(problems=problems)
        said = json.dumps(data, ensure_ascii=False)
        messages = (*messages, Message("assistant", said), Message("user", repair))
        try:
            choices = await _asked(desk, messages, bill)
        except ModelError as error:
            log.info("a query was not mended: %s", error.sentence)
            return query
    raise AssertionError("the loop returns")


def _tables(desk: Desk, case: CaseFile, catalogue: Catalogue | None, question: str) -> str:
    """Word the tables that the question needs. Ranks hundreds of tables: for a thread."""
    if catalogue is None:
        return ""
    kinds = {entity.kind for entity in case.entities}
    chosen = choose_tables(catalogue, question, kinds, case.incident.tactics, MAX_TABLES)
    tables = columns_within(chosen, desk.count, SCHEMA_TOKENS)
    return desk.prompts["kql_tables"].render(tables=tables)


async def _asked(desk: Desk, messages: Sequence[Message], bill: Bill) -> list[JsonObject]:
    """Ask for a query; one in a fence or bare is taken as well. Raises AnswerMalformed.

    What comes back are the answer's choices that hold a query, one or more.
    """
    try:
        answer = await desk.model.structured(
            messages, name="kql", schema=SCHEMA, limit=ANSWER_TOKENS
        )
    except AnswerMalformed as error:
        if query := from_answer(error.text, fenced=True):
            bill.rounds += 1
            return [{"query": query, "explanation": "", "assumptions": []}]
        raise
    bill.add(answer.usage)
    choices = (answer.data, *answer.more)
    holding = [each for each in choices if str(each.get("query") or "").strip()]
    if not holding:
        raise AnswerMalformed("The model wrote no query.")
    return holding


async def _best(
    desk: Desk, catalogue: Catalogue | None, case: CaseFile, choices: Sequence[JsonObject]
) -> tuple[JsonObject, WrittenQuery]:
    """The first choice with nothing wrong with it; the first of all where there is none."""
    found = [(data, await examined(desk, catalogue, case, data)) for data in choices]
    return next((each for each in found if not each[1].problems), found[0])


async def examined(
    desk: Desk, catalogue: Catalogue | None, case: CaseFile, data: JsonObject
) -> WrittenQuery:
    """Put our definitions in front of a query, and say what is wrong with it."""
    body = from_answer(str(data["query"])).rstrip("; \n")
    lets = entity_lets(case.entities, body)
    kql = lets + inert(body)
    verdict = guard(kql)
    checked: Checked | None = None
    if catalogue is not None and not verdict.refused:
        checked = await desk.checker.check(kql, catalogue)
        if checked is not None:
            verdict = guard(kql, checked.tokens)
    found = checked.diagnostics if checked else ()
    errors = [_sentence(kql, each) for each in found if each.severity == "error"]
    doubts = [_sentence(kql, each) for each in found if each.severity != "error"]
    assumptions = data.get("assumptions")
    listed = cast(list[Any], assumptions) if isinstance(assumptions, list) else []
    return WrittenQuery(
        kql=kql,
        explanation=str(data.get("explanation") or "").strip()[:600],
        assumptions=tuple(str(each).strip()[:300] for each in listed if str(each).strip())[:6],
        tables=len(catalogue.tables) if catalogue and checked else None,
        problems=(*verdict.refused, *errors)[:MAX_PROBLEMS],
        cautions=(*verdict.warnings, *doubts, *_old(desk, checked))[:MAX_PROBLEMS],
        refused=bool(verdict.refused),
        ours=len(lets),
    )


def _sentence(kql: str, found: Diagnostic) -> str:
    """A diagnostic with where it is and what may have been meant."""
    line = kql.count("\n", 0, found.start) + 1
    near = f" Did you mean {' or '.join(found.nearest)}?" if found.nearest else ""
    return f"Line {line}: {found.message.strip().rstrip('.')}.{near}"


def _old(desk: Desk, checked: Checked | None) -> tuple[str, ...]:
    age = desk.schema.age
    if checked is None or age is None or not desk.schema.stale:
        return ()
    hours = round(age.total_seconds() / 3600)
    return (f"The workspace's tables were last read {hours} hours ago; newer ones are not known.",)


def _proposed(desk: Desk, briefing: Briefing, query: WrittenQuery, model: str) -> Proposal:
    item = Item(TITLE, as_markdown(query))
    return replace(proposal(desk, briefing, "query", [item], model), query=query)


def _audited(desk: Desk, briefing: Briefing, query: WrittenQuery, bill: Bill) -> AuditItem:
    outcome = "refused" if query.refused else "flagged" if query.problems else "written"
    item = audited(desk, briefing, "kql", outcome, bill.usage)
    known = {"rounds": bill.rounds, "tables": query.tables, "problems": list(query.problems)}
    return replace(item, detail={**item.detail, "query_sha256": fingerprint(query.kql), **known})


async def _from_playbook(
    desk: Desk,
    briefing: Briefing,
    catalogue: Catalogue | None,
    error: ModelError,
    bill: Bill,
) -> Written:
    """Offer the vetted query that suits the incident best. Raises `error` where none does."""
    query, title = await vetted(desk, briefing.case, catalogue, error)
    item = _audited(desk, briefing, query, bill)
    return Written(
        briefing=briefing,
        query=query,
        proposal=_proposed(desk, briefing, query, ""),
        audit=replace(item, detail={**item.detail, "outcome": type(error).__name__}),
        note=f"{error.sentence} This query is the playbook's “{title}”: no model wrote it.",
    )


async def vetted(
    desk: Desk, case: CaseFile, catalogue: Catalogue | None, error: ModelError
) -> tuple[WrittenQuery, str]:
    """The playbook's query that suits the incident best, with its title; or raise `error`."""
    tables = catalogue.by_name.keys() if catalogue else None
    fitting = desk.playbook.queries_for(case.incident.tactics, entity_names(case.entities), tables)
    if not fitting:
        raise error
    first = fitting[0]
    data: JsonObject = {"query": first.kql, "explanation": first.purpose}
    query = await examined(desk, catalogue, case, data)
    return replace(query, by_playbook=first.name), first.title
