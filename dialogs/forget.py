"""`reset` and `forget me`: what is kept about chats can be deleted at any time."""

from __future__ import annotations

from bot.desk.desk import Desk
from bot.domain.incident import Mention
from bot.domain.transcript import Thread
from bot.ports import Answered, AuditItem, Courier, Reply, Said

from .focus import focused


async def reset(desk: Desk, said: Said, courier: Courier, mention: Mention | None) -> Answered:
    """Forget the analyst's chat on this incident; what is on the incident stays."""
    desk, ref = await focused(desk, said, mention)
    thread = Thread(said.analyst.tenant, said.analyst.id, ref)
    erased = await desk.store.forget_thread(thread)
    called = (await desk.incidents.get(ref.id)).called
    return Answered(
        Reply(
            f"I have forgotten our chat about incident {called} "
            f"({_counted(erased.turns)}). We start afresh."
        )
    )


async def forget_me(desk: Desk, said: Said, courier: Courier, mention: Mention | None) -> Answered:
    """Delete every chat of this analyst; the record of what was written to Sentinel stays."""
    analyst = said.analyst
    erased = await desk.store.forget_analyst(analyst.tenant, analyst.id)
    return Answered(
        Reply(
            f"I have deleted all your chats ({_counted(erased.turns)}). What you put on incidents "
            "stays there. The audit keeps that you asked and what you added, not your questions."
        ),
        audit=(AuditItem(said.at, analyst.tenant, "forget me", analyst.id, analyst.name),),
    )


def _counted(turns: int) -> str:
    return f"{turns} question{'' if turns == 1 else 's'} with their answers"
