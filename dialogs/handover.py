"""`handover`: what the next shift needs; and which answers it may see."""

from __future__ import annotations

import re
from urllib.parse import quote

from bot.cards import link_card
from bot.desk.desk import Desk
from bot.desk.handover import prepare_handover, share
from bot.domain.incident import Mention
from bot.errors import ClickRefused
from bot.ports import Answered, Clicked, Clicking, Courier, JsonObject, Reply, Said

from . import ask
from .focus import focused
from .kql import proposal_id

# What a bot is called in Teams; in a link, nothing else has a place.
_BOT = re.compile(r"28:[0-9a-f-]{36}", re.IGNORECASE)


async def reply(desk: Desk, said: Said, courier: Courier, mention: Mention | None) -> Answered:
    """Prepare the handover for the one who asks, in their own chat only."""
    desk, ref = await focused(desk, said, mention)
    if said.place.kind == "personal":
        asked = await prepare_handover(desk, said, ref, courier)
        return ask.answered(asked, shareable=False)
    words = f"handover #{(await desk.incidents.get(ref.id)).called}"
    sentence = (
        "A handover is prepared for you alone: it may hold what you asked in private. "
        f"Say **{words}** in your own chat with me."
    )
    return Answered(Reply(sentence, tuple(_way_there(said.place.bot_id, words))))


def _way_there(bot_id: str, words: str) -> list[JsonObject]:
    """A card that opens the personal chat with the words typed in (docs: deep-link-teams).

    That a bot may stand where the link names users is not documented: the sentence above the card
    says what to do without it.
    """
    if not _BOT.fullmatch(bot_id):
        return []
    chat = f"https://teams.microsoft.com/l/chat/0/0?users={quote(bot_id)}&message={quote(words)}"
    return [link_card("Open our chat", chat)]


async def click(desk: Desk, clicked: Clicked) -> Clicking:
    """Share an answer with the next shift, or stop. Raises ClickRefused."""
    shared = clicked.data.get("shared")
    if not isinstance(shared, bool):
        raise ClickRefused("This button says nothing that I can do.")
    proposal = await share(desk, clicked, proposal_id(clicked), shared)
    card = ask.card(proposal, await desk.store.writes(proposal.id), shared=shared)
    return Clicking(card, message=ask.said_again(dict(proposal.message), card))
