"""`incident N`: take an incident up, and show it."""

from __future__ import annotations

from bot.cards import incident_card
from bot.desk.announce import Prepared, prepared_for
from bot.desk.desk import Desk
from bot.domain.incident import CaseFile, IncidentRef, Mention
from bot.domain.injection import warned
from bot.domain.people import Place
from bot.errors import ClickRefused, IncidentNotFound
from bot.ports import Answered, Clicked, Clicking, Courier, JsonObject, Reply, Said

from .focus import focus_on, focused

_NOT_OURS = "This button names no incident that I work with."


async def reply(desk: Desk, said: Said, courier: Courier, mention: Mention | None) -> Answered:
    """Show the incident that is named, which is in focus from now on."""
    desk, ref = await focused(desk, said, mention)
    return await shown(desk, ref, said.place)


async def click(desk: Desk, clicked: Clicked) -> Clicking:
    """Open an incident from a list. Raises ClickRefused where the button names none of ours."""
    desk, ref = chosen(desk, clicked)
    ref = (await desk.incidents.get(ref.id)).ref
    await focus_on(desk, clicked, ref)
    return Clicking(answered=await shown(desk, ref, clicked.place))


def chosen(desk: Desk, clicked: Clicked) -> tuple[Desk, IncidentRef]:
    """The incident that a button carries, and the desk of its workspace.

    Raises ClickRefused where it is not one of ours.
    """
    workspace, id = clicked.data.get("workspace"), clicked.data.get("incident")
    if not isinstance(workspace, str) or not isinstance(id, str):
        raise ClickRefused(_NOT_OURS)
    try:
        desk = desk.at(workspace)
    except IncidentNotFound:
        raise ClickRefused(_NOT_OURS) from None
    return desk, desk.ref(id)


async def shown(desk: Desk, ref: IncidentRef, place: Place) -> Answered:
    """The incident as a card, with a warning where its text is addressed to an assistant."""
    case, card = await card_of(desk, ref, place, await prepared_for(desk, ref))
    words = f"Incident {case.incident.called} is in focus. What do you want to know?"
    return Answered(Reply(words, (card,)))


async def card_of(
    desk: Desk, ref: IncidentRef, place: Place, prepared: Prepared, done: str = ""
) -> tuple[CaseFile, JsonObject]:
    """A case file and its card for a place, with what was prepared. Raises SentinelError."""
    studied = await desk.cases.study(ref.id, desk.count)
    proposal, writes = prepared
    offered = proposal and proposal.shown_in(place.tenant, place.conversation)
    now, warnings = desk.clock.now(), warned(studied.warnings)
    return studied.case, incident_card(studied.case, now, warnings, done, offered, writes)
