"""Which incident is meant: the one a sentence names, else the one in focus here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from bot.desk.desk import Desk
from bot.desk.find import find
from bot.domain.incident import IncidentRef, Mention, Workspace, mentioned, parted
from bot.errors import IncidentNotFound, NothingInFocus
from bot.ports import Clicked, Said

_ALONE = re.compile(r"(?:incident\s*)?#?\s*(\d{1,10})|(https://\S+)", re.IGNORECASE)
_WHICH = "Which incident do you mean? Name it in your question, as in **incident 42**, or open one:"


def named(words: str, workspaces: Sequence[Workspace] = ()) -> Mention | None:
    """Read words that name an incident and say nothing else: `42`, `#42`, `incident 42`, a link.

    Where there are several workspaces to choose from, `in NAME` may follow.
    """
    words, workspace = parted(words.strip().rstrip(".!? "), workspaces)
    found = _ALONE.fullmatch(words)
    if found is None:
        return None
    if found[1]:
        return Mention(number=int(found[1]), workspace=workspace)
    mention = mentioned(found[2], workspaces)
    return mention and replace(mention, workspace=mention.workspace or workspace)


async def focused(desk: Desk, said: Said, mention: Mention | None) -> tuple[Desk, IncidentRef]:
    """Find the incident that is meant, and keep it in focus; the desk of its workspace with it.

    Raises NothingInFocus, WhichIncident, and IncidentNotFound, unless a bare `#4625` may just as
    well be an event's number: then the focus stays.
    """
    mention = mention or mentioned(said.text, desk.choices)
    if mention is None:
        if (kept := await _kept(desk, said)) is None:
            raise NothingInFocus(_WHICH)
        return kept
    kept = await _kept(desk, said) if desk.choices else None
    try:
        ref = (await find(desk, mention, kept[1] if kept else None)).ref
    except IncidentNotFound:
        if mention.number is None or mention.workspace or "incident" in said.text.casefold():
            raise
        kept = kept or await _kept(desk, said)
        if kept is None:
            raise
        return kept
    await focus_on(desk, said, ref)
    return desk.at(ref.workspace), ref


async def _kept(desk: Desk, said: Said) -> tuple[Desk, IncidentRef] | None:
    """What is in focus here; an incident of a workspace that is not served any more is not."""
    analyst, place = said.analyst, said.place
    ref = await desk.store.focus(analyst.tenant, place.conversation, analyst.id)
    try:
        return (desk.at(ref.workspace), ref) if ref else None
    except IncidentNotFound:
        return None


async def focus_on(desk: Desk, said: Said | Clicked, ref: IncidentRef) -> None:
    """Keep an incident in focus for this analyst, here."""
    await desk.store.set_focus(
        said.analyst.tenant, said.place.conversation, said.analyst.id, ref, said.at
    )
