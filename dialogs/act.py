"""`assign`, `severity X`, `status X`, `close`, `reopen`, and the buttons that say the same."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence

from bot.cards import close_card, incident_card
from bot.desk.act import Acted, carry_out, who_did
from bot.desk.announce import prepared_for
from bot.desk.desk import Desk
from bot.domain import act
from bot.domain.act import CLOSED, MAX_CLOSING_CHARS, SEVERITIES, VERDICTS, Act
from bot.domain.incident import Incident, Mention, Workspace
from bot.domain.people import Analyst, Place
from bot.domain.rendering import plain, unmarked
from bot.errors import ClickRefused, SentinelError
from bot.ports import Answered, Clicked, Clicking, Courier, JsonObject, Reply, Said

from .focus import focused, named
from .incident import card_of, chosen

_ORDER = re.compile(
    r"/?\s*(severity|status)\b[\s:=]*(?:to\s+)?(\w+)(?:\s+(?:(?:on|of|for)\s+)?(.+?))?[.! ]*",
    re.IGNORECASE,
)
_NO_SEVERITY = f"Say **severity** and one of {', '.join(SEVERITIES[:-1])} or {SEVERITIES[-1]}."

_Handler = Callable[[Desk, Said, Courier, Mention | None], Awaitable[Answered]]


def ordered(
    words: str, workspaces: Sequence[Workspace] = ()
) -> tuple[_Handler, Mention | None] | None:
    """Read `severity high` or `status active`, perhaps with an incident; None for a question."""
    found = _ORDER.fullmatch(words)
    if found is None:
        return None
    word, value, rest = found[1].casefold(), found[2], found[3]
    mention = named(rest, workspaces) if rest else None
    if rest and mention is None:
        return None
    if word == "severity":
        return (severity, mention) if act.rated(value) or not rest else None
    if value.casefold() == CLOSED.casefold():
        return close, mention
    return (status, mention) if act.staged(value) else None


async def assign(desk: Desk, said: Said, courier: Courier, mention: Mention | None) -> Answered:
    """Make the analyst the incident's owner."""
    return await _said(desk, said, mention, act.assigned_to(said.analyst))


async def severity(desk: Desk, said: Said, courier: Courier, mention: Mention | None) -> Answered:
    """Set the severity that is named."""
    wanted = act.rated(_value(said))
    return await _said(desk, said, mention, wanted) if wanted else Answered(Reply(_NO_SEVERITY))


async def status(desk: Desk, said: Said, courier: Courier, mention: Mention | None) -> Answered:
    """Set the status that is named, New or Active."""
    return await _said(desk, said, mention, act.staged(_value(said)) or act.reopened())


async def reopen(desk: Desk, said: Said, courier: Courier, mention: Mention | None) -> Answered:
    """Take a closing back."""
    return await _said(desk, said, mention, act.reopened())


async def close(desk: Desk, said: Said, courier: Courier, mention: Mention | None) -> Answered:
    """Ask for classification and reason; the click on "Close incident" closes."""
    desk, ref = await focused(desk, said, mention)
    incident = await desk.incidents.get(ref.id)
    if incident.status == CLOSED:
        words = f"Incident {incident.called} is already {_as_closed(incident)}."
        return Answered(Reply(words, (await _card(desk, incident, said.place, ""),)))
    words = f"How do you want to close incident {incident.called}?"
    return Answered(Reply(words, (close_card(incident),)))


async def click(desk: Desk, clicked: Clicked) -> Clicking:
    """Do what a button says. Raises ClickRefused for data that is not ours, and SentinelError."""
    wanted = _clicked(desk, clicked)
    desk, ref = chosen(desk, clicked)
    acted = await carry_out(desk, clicked.analyst, ref, wanted, clicked.at)
    reply = await _reply(desk, clicked, acted)
    return Clicking(reply.cards[0], message=reply)


async def _said(desk: Desk, said: Said, mention: Mention | None, wanted: Act) -> Answered:
    desk, ref = await focused(desk, said, mention)
    acted = await carry_out(desk, said.analyst, ref, wanted, said.at)
    return Answered(await _reply(desk, said, acted))


def _value(said: Said) -> str:
    found = _ORDER.fullmatch(" ".join(said.text.split()))
    return found[2] if found else ""


def _clicked(desk: Desk, clicked: Clicked) -> Act:
    """Read a button and what was chosen beside it. Raises ClickRefused."""
    data = clicked.data
    wanted: Act | None = None
    match data.get("as"):
        case "assign":
            wanted = act.assigned_to(clicked.analyst)
        case "reopen":
            wanted = act.reopened()
        case "new" | "active" as value:
            wanted = act.staged(value)
        case "severity":
            wanted = act.rated(_text(data, "severity"))
            if wanted is None:
                raise ClickRefused(f"Choose one of {', '.join(SEVERITIES)}, then click again.", "")
        case "close":
            wanted = _closing(desk, clicked)
        case _:
            pass
    if wanted is None:
        raise ClickRefused("This button says nothing that I can do.")
    return wanted


def _closing(desk: Desk, clicked: Clicked) -> Act:
    verdict = VERDICTS.get(_text(clicked.data, "verdict"))
    comment = _text(clicked.data, "comment")
    if verdict is None:
        raise ClickRefused("Choose a classification with its reason, then click again.", "")
    if len(comment) > MAX_CLOSING_CHARS:
        raise ClickRefused(f"Please comment in at most {MAX_CLOSING_CHARS:,} characters.", "")
    name = unmarked(clicked.analyst.name, 60)
    signature = f"Closed by {name} with Casemate, {desk.clock.now():%Y-%m-%d %H:%M} UTC."
    return act.closed(verdict, comment, signature)


def _text(data: JsonObject, name: str) -> str:
    value = data.get(name)
    return value if isinstance(value, str) else ""


async def _reply(desk: Desk, by: Said | Clicked, acted: Acted) -> Reply:
    """What was done, above the incident as it is now."""
    after, analyst, place = acted.after, by.analyst, by.place
    if acted.done:
        line = f"{_done(acted.act, plain(analyst.name, 60))}, {acted.at:%H:%M} UTC"
        words = f"Incident {after.called}: {line}.{_before(analyst, acted)}"
        return Reply(words, (await _card(desk, after, place, f"✓ {line}"),))
    earlier = f" {who_did(acted.earlier, acted.at)}." if acted.earlier else ""
    line = f"{_already(acted.act, after)}, so I changed nothing.{earlier}"
    return Reply(f"Incident {after.called}: {line}", (await _card(desk, after, place, line),))


def _done(done: Act, name: str) -> str:
    """Say in a line what was done and by whom."""
    match done.what:
        case "assign":
            return f"Assigned to {name}"
        case "close":
            return f"Closed as {done.verdict.words if done.verdict else ''} by {name}"
        case "reopen":
            return f"Reopened by {name}"
        case "severity" | "status":
            return f"{done.what.capitalize()} {done.value} set by {name}"


def _before(analyst: Analyst, acted: Acted) -> str:
    """Say what was replaced, and whose it was where that is known."""
    earlier = acted.earlier
    if earlier is not None and earlier.analyst_id != analyst.id:
        return f" Before that, {who_did(earlier, acted.at)}."
    was = plain(acted.act.property_of(acted.before), 60)
    if not was or acted.act.what in ("close", "reopen"):
        return ""
    return f" It was {was}."


def _already(wanted: Act, incident: Incident) -> str:
    match wanted.what:
        case "assign":
            return "It is already yours"
        case "close":
            return f"It is already {_as_closed(incident)}"
        case "reopen":
            return "It is not closed"
        case "severity" | "status":
            return f"The {wanted.what} is already {wanted.value}"


def _as_closed(incident: Incident) -> str:
    verdict = VERDICTS.get(f"{incident.classification}/{incident.reason}".rstrip("/"))
    words = verdict.words if verdict else plain(incident.classification, 60)
    return f"closed as {words}" if words else "closed"


async def _card(desk: Desk, incident: Incident, place: Place, line: str) -> JsonObject:
    """The incident's card; what was done is done, even where it cannot be read anew."""
    try:
        prepared = await prepared_for(desk, incident.ref)
        return (await card_of(desk, incident.ref, place, prepared, line))[1]
    except SentinelError:
        return incident_card(incident, desk.clock.now(), done=line)
