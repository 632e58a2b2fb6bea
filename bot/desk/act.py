"""Changes an incident for an analyst: owner, severity, status, closing. Once, over nobody's head.

What already is as it should be is not written again, so a repeated click changes nothing. What
somebody else changed while this analyst was deciding is not written over: they are told who did
what. Everything else that changed meanwhile survives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ..domain.act import CHANGES, Act
from ..domain.incident import Incident, IncidentRef
from ..domain.people import Analyst
from ..domain.rendering import plain
from ..errors import SentinelConflict, SentinelError
from ..ports import AuditItem
from .desk import Desk

# Nobody sees another's change and decides about it in less.
UNSEEN = timedelta(seconds=10)
_LOOKED_AT = 50
# Until the other's change is in the audit as well: another replica may be writing it.
_SETTLE = 0.5


@dataclass(frozen=True, slots=True)
class Acted:
    """What became of an act; `done` says that it changed the incident.

    `earlier` is who had set, through Casemate, what the act replaced or found in place.
    """

    act: Act
    before: Incident
    after: Incident
    at: datetime
    done: bool
    earlier: AuditItem | None = None


async def carry_out(
    desk: Desk, analyst: Analyst, ref: IncidentRef, act: Act, asked: datetime
) -> Acted:
    """Change the incident as an analyst asked at `asked`. Raises SentinelError.

    SentinelConflict says who was faster.
    """
    trail = await _trail(desk, ref, act)
    seen: list[Incident] = []

    def changes(read: Incident) -> Mapping[str, Any]:
        seen.append(read)
        if act.holds(read):
            return {}
        last = _setter(trail, act, read)
        unseen = last is not None and last.analyst_id != analyst.id and last.at > asked - UNSEEN
        if unseen or not act.same(seen[0], read):
            raise SentinelConflict("Somebody else changed the same a moment ago.")
        return act.wanted(read)

    try:
        after = await desk.incidents.update(ref.id, changes)
    except SentinelError as error:
        if seen:
            await _record(desk, analyst, act, seen[0], type(error).__name__)
        if isinstance(error, SentinelConflict):
            raise await _overtaken(desk, act, seen, asked) from error
        raise
    # Where the answer to our own write was lost, the next reading found it done.
    done = not act.holds(seen[-1]) or (not act.holds(seen[0]) and act.made(after))
    await _record(desk, analyst, act, seen[0], "done" if done else "unchanged")
    if not done:
        trail = await _trail(desk, after.ref, act)
    else:
        await desk.changed(ref)
    earlier = _setter(trail, act, seen[0] if done else after)
    return Acted(act, seen[0], after, desk.clock.now(), done, earlier)


async def _record(desk: Desk, analyst: Analyst, act: Act, before: Incident, result: str) -> None:
    detail = {
        "what": act.what,
        "before": act.property_of(before),
        "after": act.value,
        "result": result,
    }
    if act.verdict:
        detail["verdict"] = act.verdict.key
    await desk.store.record(
        AuditItem(
            at=desk.clock.now(),
            tenant=analyst.tenant,
            action="act",
            analyst_id=analyst.id,
            analyst_name=analyst.name,
            incident=before.ref,
            incident_number=before.number,
            detail=detail,
        )
    )


async def _trail(desk: Desk, ref: IncidentRef, act: Act) -> list[AuditItem]:
    """What was done through Casemate to the property, newest first."""
    return [
        item
        for item in await _acts(desk, ref)
        if CHANGES.get(str(item.detail.get("what"))) == CHANGES[act.what]
    ]


async def last_act(desk: Desk, ref: IncidentRef) -> AuditItem | None:
    """What was last changed through Casemate, if it is among what happened lately."""
    return next(iter(await _acts(desk, ref)), None)


async def _acts(desk: Desk, ref: IncidentRef) -> list[AuditItem]:
    return [
        item
        for item in reversed(await desk.store.audit(ref, _LOOKED_AT))
        if item.action == "act" and item.detail.get("result") == "done"
    ]


def _setter(trail: Sequence[AuditItem], act: Act, incident: Incident) -> AuditItem | None:
    """Who set what the incident has now; None where it was changed elsewhere since."""
    last = next(iter(trail), None)
    if last is None or last.detail.get("after") != act.property_of(incident):
        return None
    return last


async def _overtaken(
    desk: Desk, act: Act, seen: Sequence[Incident], asked: datetime
) -> SentinelConflict:
    """Say who was faster, as far as is known: Sentinel does not tell who changed an incident."""
    read = seen[-1]
    item = _setter(await _trail(desk, read.ref, act), act, read)
    if item is None:
        await desk.clock.sleep(_SETTLE)
        item = _setter(await _trail(desk, read.ref, act), act, read)
    if item is not None and item.at > asked - UNSEEN:
        changed = who_did(item, desk.clock.now())
    else:
        changed = "somebody else is changing it at the same time"
        if not act.same(seen[0], read):
            value = plain(act.property_of(read), 60) or "nobody"
            changed += f"; the {CHANGES[act.what]} is now {value}"
    return SentinelConflict(
        f"Incident {read.called}: {changed}. I changed nothing. "
        "To change it all the same, please try again."
    )


def who_did(item: AuditItem, now: datetime) -> str:
    """Say of an act in the audit who did what, and when: `Ben Becker closed it a minute ago`."""
    return f"{did(item)} {ago(now - item.at)}"


def did(item: AuditItem) -> str:
    """Say of an act in the audit who did what."""
    return f"{plain(item.analyst_name, 60)} {deed(item, plain(str(item.detail['after']), 60))}"


def deed(item: AuditItem, after: str) -> str:
    """Say of an act in the audit what was done; `after` is the new value, fit to be shown."""
    return {
        "assign": "took it",
        "close": "closed it",
        "reopen": "reopened it",
        "severity": f"set the severity to {after}",
        "status": f"set the status to {after}",
    }[item.detail["what"]]


def ago(span: timedelta) -> str:
    """Say roughly how long ago something was."""
    minutes = round(span / timedelta(minutes=1))
    if span < timedelta(seconds=30):
        return "a moment ago"
    if minutes < 2:
        return "a minute ago"
    if minutes < 120:
        return f"{minutes} minutes ago"
    hours = round(minutes / 60)
    return f"{hours} hours ago" if hours < 48 else f"{round(hours / 24)} days ago"
