"""`help`: what one can say."""

from __future__ import annotations

from bot.cards import help_card
from bot.desk.desk import Desk
from bot.domain.incident import Mention
from bot.domain.rendering import plain
from bot.ports import Answered, Courier, Reply, Said


async def reply(desk: Desk, said: Said, courier: Courier, mention: Mention | None) -> Answered:
    """Show the words, with buttons."""
    card = help_card([plain(each.name, 60) for each in desk.choices])
    return Answered(Reply("I answer questions about Sentinel incidents.", (card,)))
