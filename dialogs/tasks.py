"""`tasks`: what to look into, each to be put on the incident with a click."""

from __future__ import annotations

from dataclasses import replace

from bot.cards import tasks_card
from bot.desk.desk import Desk
from bot.desk.tasks import propose_tasks
from bot.domain.incident import Mention
from bot.domain.proposal import Proposal, Write
from bot.ports import Answered, Courier, JsonObject, Said

from .ask import said_again
from .focus import focused
from .incident import warned


async def reply(desk: Desk, said: Said, courier: Courier, mention: Mention | None) -> Answered:
    """Propose investigation tasks for the incident."""
    desk, ref = await focused(desk, said, mention)
    proposed = await propose_tasks(desk, said, ref, courier)
    called = proposed.briefing.case.incident.called
    message: JsonObject = {
        "text": f"These are the tasks I propose for incident {called}. "
        "Nothing is written until you click.",
        "citations": [],
        "by_model": not proposed.note,
        "warnings": warned(proposed.briefing.warnings),
        "note": proposed.note,
    }
    proposal = replace(proposed.proposal, message=message)
    return Answered(
        said_again(message, card(proposal)),
        thread=proposed.briefing.thread,
        turn=proposed.turn,
        proposal=proposal,
        audit=(proposed.audit,),
    )


def card(proposal: Proposal, writes: tuple[Write, ...] = ()) -> JsonObject:
    """The list of tasks, in the state that `writes` makes."""
    message = proposal.message
    warnings = (*message["warnings"], *filter(None, [message["note"]]))
    return tasks_card(proposal, writes, warnings)
