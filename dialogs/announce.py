"""What a place hears of incidents, and the words `subscribe` and `unsubscribe`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from bot.cards import digest_card
from bot.desk.act import did, last_act
from bot.desk.announce import Shown, Wording, prepared_for, prepared_state
from bot.desk.desk import Desk
from bot.domain.announcement import SEVERITIES, Subscription, severity_named, state_of
from bot.domain.incident import Incident, IncidentRef, Mention, parted
from bot.domain.people import Place
from bot.domain.rendering import plain
from bot.ports import Answered, AuditItem, Courier, Reply, Said

from .incident import card_of

_HERE = {"personal": "You", "groupChat": "This chat", "channel": "This channel"}
_WORD = re.compile(r"^/?subscribe\b[\s:]*", re.IGNORECASE)


async def one(desk: Desk, ref: IncidentRef, place: Place) -> Shown:
    """An incident that nobody asked for: its card, with what was prepared and last done for it."""
    desk = desk.at(ref.workspace)
    prepared = await prepared_for(desk, ref)
    last = await last_act(desk, ref)
    done = f"✓ {did(last)}, {last.at:%H:%M} UTC" if last else ""
    case, card = await card_of(desk, ref, place, prepared, done)
    incident = case.incident
    severity, status = plain(incident.severity, 40) or "no severity", plain(incident.status, 40)
    reply = Reply(f"Incident {incident.called}, {severity}, {status}.", (card,))
    return Shown(reply, state_of(incident, len(case.tasks), prepared_state(prepared)))


def several(desk: Desk, incidents: Sequence[Incident]) -> Reply:
    """A storm's incidents in one message."""
    card = digest_card(incidents, desk.clock.now())
    return Reply(f"{len(incidents)} new incidents.", (card,))


GONE = Reply("This incident is no longer in Sentinel: it was deleted, or merged into another one.")
WORDING = Wording(one, several, GONE)


async def subscribe(desk: Desk, said: Said, courier: Courier, mention: Mention | None) -> Answered:
    """Tell this place of new incidents from a severity on; alone, all of them."""
    words, workspace = parted(f" {_WORD.sub('', said.text.strip()).rstrip('.! ')}", desk.choices)
    word = words.strip()
    floor = severity_named(word) if word else SEVERITIES[0]
    if not floor:
        return Answered(Reply(f"Say **subscribe** and one of: {', '.join(reversed(SEVERITIES))}."))
    place = _whole(said.place)
    before = await _known(desk, place)
    since = before.since if before and not before.retired else said.at
    await desk.outbox.subscribe(
        Subscription(place, floor, since, said.analyst.name, workspace=workspace)
    )
    which = "all new incidents" if floor == SEVERITIES[0] else f"new incidents from {floor} on"
    which += f" in {workspace}" if workspace else ""
    hear = "hear" if place.kind == "personal" else "hears"
    words = f"{_HERE[place.kind]} now {hear} of {which}. To end it, say **unsubscribe**."
    if before is not None and before.retired:
        words += f" It had stopped: {before.retired}"
    return Answered(Reply(words), audit=(_audited(said, "subscribe", floor, workspace),))


async def unsubscribe(
    desk: Desk, said: Said, courier: Courier, mention: Mention | None
) -> Answered:
    """Tell this place of nothing any more."""
    place = _whole(said.place)
    if not await desk.outbox.unsubscribe(place.tenant, place.conversation):
        return Answered(Reply("Nothing is announced here. To begin, say **subscribe**."))
    words = "New incidents are no longer announced here."
    return Answered(Reply(words), audit=(_audited(said, "unsubscribe", ""),))


async def heard_from(desk: Desk, place: Place) -> None:
    """Teams may move a conversation to another address: keep the one it speaks from now."""
    place = _whole(place)
    known = await _known(desk, place)
    if known is not None and known.place != place:
        await desk.outbox.subscribe(replace(known, place=place))


async def _known(desk: Desk, place: Place) -> Subscription | None:
    for each in await desk.outbox.subscriptions():
        if (each.place.tenant, each.place.conversation) == (place.tenant, place.conversation):
            return each
    return None


def _whole(place: Place) -> Place:
    """The channel, not the thread in which something was said."""
    return replace(place, conversation=place.conversation.partition(";")[0])


def _audited(said: Said, action: str, floor: str, workspace: str = "") -> AuditItem:
    only = {"workspace": workspace} if workspace else {}
    return AuditItem(
        said.at,
        said.analyst.tenant,
        action,
        said.analyst.id,
        said.analyst.name,
        detail={"conversation": said.place.conversation, "floor": floor, **only},
    )
