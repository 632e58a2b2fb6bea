"""`incidents`: the open ones, newest first; also what is said where it is not clear which one."""

from __future__ import annotations

from bot.cards import incidents_card
from bot.desk.desk import Desk
from bot.domain.incident import Mention
from bot.ports import Answered, Courier, Reply, Said

SHOWN = 10


async def reply(desk: Desk, said: Said, courier: Courier, mention: Mention | None) -> Answered:
    """List the open incidents, each with a button."""
    return await listed(desk, "Here are the open incidents.")


async def which(desk: Desk) -> Answered:
    """Ask which incident is meant, with the open ones to choose from."""
    return await listed(
        desk,
        "Which incident do you mean? Name it in your question, as in **incident 42**, or open one:",
    )


async def listed(desk: Desk, words: str) -> Answered:
    """Say something above the list of open incidents."""
    page = await desk.incidents.list(
        filter="properties/status ne 'Closed'",
        order="properties/createdTimeUtc desc",
        top=SHOWN,
    )
    if not page.incidents:
        return Answered(
            Reply(
                f"There are no open incidents in the workspace {desk.workspace.name}. "
                "To look at a closed one, say **incident** and its number."
            )
        )
    card = incidents_card(page.incidents, desk.clock.now(), bool(page.more))
    return Answered(Reply(words, (card,)))
