"""Runs a query that a card offers, and puts its rows into the analyst's history."""

from __future__ import annotations

from dataclasses import dataclass

from ..domain.budget import ROWS_CHARS
from ..domain.proposal import Proposal
from ..domain.query import Rows, WrittenQuery
from ..domain.query_guard import guard
from ..domain.query_reach import reach
from ..domain.rows import as_lines
from ..domain.transcript import Thread, Turn
from ..errors import ClickRefused, LogsError, QueryRefused
from ..ports import AuditItem, Clicked, Courier
from .desk import Desk
from .post import checked

MAX_ROWS = 100


@dataclass(frozen=True, slots=True)
class Ran:
    """What came back; `rows` is None where nothing did, and `problem` says why."""

    proposal: Proposal
    query: WrittenQuery
    thread: Thread
    audit: AuditItem
    rows: Rows | None = None
    turn: Turn | None = None
    problem: str = ""


async def run_query(desk: Desk, clicked: Clicked, proposal_id: str, courier: Courier) -> Ran:
    """Run the query of a card in the name of whoever clicked.

    Raises ClickRefused where the card is not theirs to use or the query may not be run.
    """
    proposal = await checked(desk, clicked, proposal_id)
    query = proposal.query
    if query is None:
        raise ClickRefused("This card holds no query.")
    if reasons := query.problems if query.refused else guard(query.kql).refused:
        raise ClickRefused(f"This query is not run. {' '.join(reasons)}", "refused query")
    await courier.working("Running the query…")
    thread = Thread(clicked.analyst.tenant, clicked.analyst.id, proposal.incident)
    timespan = reach(query.kql, clicked.at)
    try:
        rows = await desk.at(proposal.incident.workspace).logs.run(
            query.kql, timespan, rows=MAX_ROWS
        )
    except LogsError as error:
        said = f" The service says: {error.detail}" if isinstance(error, QueryRefused) else ""
        audit = _audited(desk, clicked, proposal, type(error).__name__, 0)
        return Ran(proposal, query, thread, audit, problem=error.sentence + said)
    return Ran(
        proposal,
        query,
        thread,
        _audited(desk, clicked, proposal, "partial" if rows.partial else "ran", len(rows.rows)),
        rows,
        _turn(desk, clicked, query, rows),
    )


def counted(rows: Rows) -> str:
    """Say how many rows came back."""
    number = len(rows.rows)
    if rows.capped:
        return f"more than {number:,} rows"
    return "no rows" if not number else "1 row" if number == 1 else f"{number:,} rows"


def _turn(desk: Desk, clicked: Clicked, query: WrittenQuery, rows: Rows) -> Turn:
    """The run as a part of the conversation, so that "explain these rows" has rows to explain."""
    question = f"I ran this query:\n\n```kql\n{query.body}\n```"
    data = as_lines(rows, ROWS_CHARS) if rows.rows else ""
    answer = f"The query returned {counted(rows)}."
    tokens = desk.count(question) + desk.count(data) + desk.count(answer)
    return Turn(clicked.id, question, answer, clicked.at, tokens, data=data)


def _audited(
    desk: Desk, clicked: Clicked, proposal: Proposal, outcome: str, rows: int
) -> AuditItem:
    return AuditItem(
        at=desk.clock.now(),
        tenant=clicked.analyst.tenant,
        action="run",
        analyst_id=clicked.analyst.id,
        analyst_name=clicked.analyst.name,
        incident=proposal.incident,
        incident_number=proposal.incident_number,
        detail={
            "proposal": proposal.id,
            "query": proposal.query.kql[:2000] if proposal.query else "",
            "outcome": outcome,
            "rows": rows,
        },
    )
