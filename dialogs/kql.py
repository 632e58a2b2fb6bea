"""`kql QUESTION`, questions that only the logs can answer, Run and Refine on a query's card."""

from __future__ import annotations

import re
from dataclasses import replace

from bot.cards import query_card, rows_card
from bot.desk.desk import Desk
from bot.desk.enrich import playbook_question
from bot.desk.kql import Written, write_query
from bot.desk.post import checked
from bot.desk.run import Ran, counted, run_query
from bot.domain.budget import QUESTION_CHARS
from bot.domain.incident import IncidentRef, Mention
from bot.domain.portal_link import logs_link
from bot.domain.proposal import Proposal, Write
from bot.domain.query_reach import reach
from bot.errors import ClickRefused
from bot.ports import Answered, Clicked, Clicking, Courier, JsonObject, Reply, Said

from .ask import said_again
from .focus import focused
from .incident import warned

_USUAL = "What happened around this incident's entities before and after its alerts?"
_WORD = re.compile(r"^/?kql\b[\s:]*", re.IGNORECASE)
_MAX_HOW = 500

# What only the logs can tell: others who did the same, in some span of time. Without one of these
# words a question is about the incident, and "Write a query" stands under its answer.
_ASKS = re.compile(
    r"\b(?:kql|kusto)\b"
    r"|\b(?:write|give|make|build|schreib\w*|erstell\w*|écri\w*|escrib\w*)\b.{0,40}"
    r"\b(?:query|abfrage|requête|consulta)\b"
    r"|\b(?:search|hunt|look|query)\b.{0,30}\b(?:logs?|tables?|workspace)\b",
    re.IGNORECASE,
)
_OTHERS = re.compile(
    r"\b(?:other|else|another|further|andere[nrs]?|weitere[nrs]?|autres?|otr[oa]s?)\b",
    re.IGNORECASE,
)
_DID = re.compile(
    r"\b(?:sign(?:ed|s)?[ -]?ins?|signed|log(?:ged|s|ins?|ons?)?|connect\w*|download\w*|upload\w*"
    r"|access\w*|open\w*|receiv\w*|click\w*|execut\w*|ran|run|contact\w*|communicat\w*|resolv\w*"
    r"|visit\w*|used?|angemeldet|verbunden|connecté\w*|conect\w*|inici\w*)\b",
    re.IGNORECASE,
)
_WHEN = re.compile(
    r"\b(?:this|last|past|previous|diese[rnms]?|letzte[rnms]?|cette|dernière?s?|est[ae]|últim[oa]s?)"
    r"\s+(?:\d+\s+)?(?:hours?|days?|weeks?|months?|woche\w*|tage?n?|stunden|semaines?|jours|heures"
    r"|semanas?|días|horas)\b|\b(?:today|yesterday|since|heute|gestern|hier|ayer)\b",
    re.IGNORECASE,
)


def wants_query(text: str) -> bool:
    """Say whether a question in free words asks for what only the logs hold."""
    if _ASKS.search(text):
        return True
    return bool(_DID.search(text) and _OTHERS.search(text) and _WHEN.search(text))


async def reply(desk: Desk, said: Said, courier: Courier, mention: Mention | None) -> Answered:
    """Write a query for what stands behind the word, or for the question as it is."""
    desk, ref = await focused(desk, said, mention)
    # A word with nothing but an incident behind it asks no question of its own.
    question = "" if mention else _WORD.sub("", said.text.strip()).strip()
    question = question or await playbook_question(desk, ref) or _USUAL
    return await _written(desk, said, ref, question, courier)


async def _written(
    desk: Desk, said: Said, ref: IncidentRef, question: str, courier: Courier
) -> Answered:
    desk = desk.at(ref.workspace)
    written = await write_query(desk, said, ref, question, courier)
    message: JsonObject = {
        "text": _lead(written),
        "citations": [],
        "by_model": not written.note,
        "warnings": warned(written.briefing.warnings),
        "note": written.note,
        "link": _link(desk, said, written.query.kql),
    }
    proposal = replace(written.proposal, message=message)
    return Answered(
        said_again(message, card(proposal)),
        thread=written.briefing.thread,
        turn=written.turn,
        proposal=proposal,
        audit=(written.audit,),
    )


def _lead(written: Written) -> str:
    called = written.briefing.case.incident.called
    if written.query.refused:
        return f"I could not write a query for incident {called} that may be run."
    if written.query.problems:
        return f"This query for incident {called} still has problems."
    return f"A query for incident {called}. Nothing is run or written until you click."


def _link(desk: Desk, said: Said, kql: str) -> str:
    span = reach(kql, said.at)
    return logs_link(desk.workspace, said.analyst.tenant, kql, timespan=span) or ""


def card(proposal: Proposal, writes: tuple[Write, ...] = ()) -> JsonObject:
    """The query's card, in the state that `writes` makes."""
    message = proposal.message
    warnings, note = tuple(message["warnings"]), message["note"]
    return query_card(proposal, writes, warnings, note, message["link"])


def run(desk: Desk, clicked: Clicked) -> Clicking:
    """Run the query; the rows come as a new message."""
    id = proposal_id(clicked)

    async def then(courier: Courier) -> Answered:
        return ran(desk, await run_query(desk, clicked, id, courier))

    return Clicking(then=then)


def ran(desk: Desk, done: Ran) -> Answered:
    """The rows on a card, or why there are none; a failed run leaves only its audit."""
    if done.rows is None:
        return Answered(Reply(done.problem), audit=(done.audit,))
    words = f"Incident {done.proposal.called}: the query returned {counted(done.rows)}."
    shown = rows_card(done.rows, done.query, desk.clock.now())
    return Answered(Reply(words, (shown,)), thread=done.thread, turn=done.turn, audit=(done.audit,))


def refine(desk: Desk, clicked: Clicked) -> Clicking:
    """Write the query anew, with what should be different. Raises ClickRefused."""
    how = clicked.data.get("how")
    if not isinstance(how, str) or not how.strip():
        raise ClickRefused("Say what should be different, then press Refine.", "")
    if len(how) > _MAX_HOW:
        raise ClickRefused(f"Please say it in at most {_MAX_HOW} characters.", "")
    id = proposal_id(clicked)

    async def then(courier: Courier) -> Answered:
        proposal = await checked(desk, clicked, id)
        if proposal.query is None:
            raise ClickRefused("This card holds no query.")
        question = (
            f"Change this query:\n\n```kql\n{proposal.query.body}\n```\n\n"
            f"What should be different: {how.strip()}"
        )
        said = Said(clicked.id, clicked.analyst, clicked.place, f"Refine: {how}", clicked.at)
        return await _written(desk, said, proposal.incident, question, courier)

    return Clicking(then=then)


def of_answer(desk: Desk, clicked: Clicked) -> Clicking:
    """Write a query for the question that an answer's card was about."""
    id = proposal_id(clicked)

    async def then(courier: Courier) -> Answered:
        proposal = await checked(desk, clicked, id)
        question = proposal.provenance.question[:QUESTION_CHARS]
        said = Said(clicked.id, clicked.analyst, clicked.place, question, clicked.at)
        return await _written(desk, said, proposal.incident, question, courier)

    return Clicking(then=then)


def proposal_id(clicked: Clicked) -> str:
    """The opaque id that a button carries. Raises ClickRefused."""
    id = clicked.data.get("proposal")
    if not isinstance(id, str) or len(id) > 200:
        raise ClickRefused("This button says nothing that I can do.")
    return id
