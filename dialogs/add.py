"""A click on "Add …": puts the proposal on the incident, once, in the name of who clicked."""

from __future__ import annotations

from typing import Literal

from bot.desk.desk import Desk
from bot.desk.post import Postings
from bot.errors import ClickRefused
from bot.ports import Clicked, Clicking

from . import announce, ask, kql, tasks

_CARDS = {"tasks": tasks.card, "query": kql.card}
_UNREADABLE = "This button says nothing that I can do."


async def click(desk: Desk, postings: Postings, clicked: Clicked) -> Clicking:
    """Write what the button stands for. Raises ClickRefused and SentinelError."""
    data = clicked.data
    kind, item = data.get("as"), data.get("item")
    if kind not in ("task", "comment"):
        raise ClickRefused(_UNREADABLE)
    id = kql.proposal_id(clicked)
    posted = await postings.post(desk, clicked, id, kind, _item(item))
    if posted.proposal.kind == "playbook":
        # It stands on the incident's card, which shows the incident as it is now.
        reply = (await announce.one(desk, posted.proposal.incident, clicked.place)).reply
        return Clicking(reply.cards[0], message=reply)
    if posted.proposal.kind == "answer":
        shared = await desk.store.is_shared(id)
        card = ask.card(posted.proposal, posted.writes, shared=shared)
    else:
        card = _CARDS[posted.proposal.kind](posted.proposal, posted.writes)
    return Clicking(card, message=ask.said_again(dict(posted.proposal.message), card))


def _item(item: object) -> int | Literal["all"]:
    if item == "all":
        return "all"
    if isinstance(item, int) and not isinstance(item, bool):
        return item
    raise ClickRefused(_UNREADABLE)
