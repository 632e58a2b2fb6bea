"""Which incident is meant: the one a sentence names, else the one in focus here."""

from __future__ import annotations

import re

from bot.desk.desk import Desk
from bot.domain.incident import IncidentRef, Mention, mentioned
from bot.errors import IncidentNotFound
from bot.ports import Clicked, Said

_ALONE = re.compile(r"(?:incident\s*)?#?\s*(\d{1,10})|(https://\S+)", re.IGNORECASE)


def named(words: str) -> Mention | None:
    """Read words that name an incident and say nothing else: `42`, `#42`, `incident 42`, a link."""
    found = _ALONE.fullmatch(words.strip().rstrip(".!? "))
    if found is None:
        return None
    return Mention(number=int(found[1])) if found[1] else mentioned(found[2])


async def focused(desk: Desk, said: Said, mention: Mention | None) -> IncidentRef | None:
    """Find the incident that is meant, and keep it in focus. None where there is none.

    Raises IncidentNotFound, unless a bare `#4625` may just as well be an event's number: then the
    focus stays.
    """
    mention = mention or mentioned(said.text)
    analyst, place = said.analyst, said.place
    if mention is None:
        return await desk.store.focus(analyst.tenant, place.conversation, analyst.id)
    try:
        ref = (await desk.incidents.find(mention)).ref
    except IncidentNotFound:
        if mention.number is None or "incident" in said.text.casefold():
            raise
        kept = await desk.store.focus(analyst.tenant, place.conversation, analyst.id)
        if kept is None:
            raise
        return kept
    await focus_on(desk, said, ref)
    return ref


async def focus_on(desk: Desk, said: Said | Clicked, ref: IncidentRef) -> None:
    """Keep an incident in focus for this analyst, here."""
    await desk.store.set_focus(
        said.analyst.tenant, said.place.conversation, said.analyst.id, ref, said.at
    )
