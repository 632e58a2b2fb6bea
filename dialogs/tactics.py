"""`tactics`: what the tactics of the incident mean for it."""

from __future__ import annotations

from bot.desk.desk import Desk
from bot.desk.tactics import explain_tactics
from bot.domain.incident import Mention
from bot.ports import Answered, Courier, Said

from .ask import answered
from .focus import focused


async def reply(desk: Desk, said: Said, courier: Courier, mention: Mention | None) -> Answered:
    """Explain each tactic of the incident, to be put on it with a click."""
    desk, ref = await focused(desk, said, mention)
    return answered(await explain_tactics(desk, said, ref, courier))
