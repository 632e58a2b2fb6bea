"""`help`: what one can say."""

from __future__ import annotations

from bot.cards import help_card
from bot.desk.desk import Desk
from bot.domain.incident import Mention
from bot.ports import Answered, Courier, Reply, Said


async def reply(desk: Desk, said: Said, courier: Courier, mention: Mention | None) -> Answered:
    """Show the words, with buttons."""
    return Answered(Reply("I answer questions about Sentinel incidents.", (help_card(),)))
