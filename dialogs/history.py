"""`history`: what this analyst asked about the incident."""

from __future__ import annotations

from bot.cards import history_card
from bot.desk.desk import Desk
from bot.desk.past import MAX_TURNS
from bot.domain.incident import Mention
from bot.domain.transcript import Thread
from bot.ports import Answered, Courier, Reply, Said

from .focus import focused


async def reply(desk: Desk, said: Said, courier: Courier, mention: Mention | None) -> Answered:
    """Show the analyst's own questions and answers, newest last."""
    desk, ref = await focused(desk, said, mention)
    thread = Thread(said.analyst.tenant, said.analyst.id, ref)
    turns = await desk.store.turns(thread, MAX_TURNS)
    incident = await desk.incidents.get(ref.id)
    if not turns:
        words = f"You have not asked anything about incident {incident.called} yet."
        return Answered(Reply(words))
    card = history_card(turns, incident, desk.clock.now())
    return Answered(Reply(f"Your questions about incident {incident.called}:", (card,)))
