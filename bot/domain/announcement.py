"""What a place hears of new incidents, and what its messages show of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from .incident import Incident, IncidentRef
from .people import Place

SEVERITIES = ("Informational", "Low", "Medium", "High")
CLOSED = "Closed"
# The state of an incident that is no longer there.
GONE = "gone"
# What was created longer ago is no news, however late it changes: what announced it is kept longer.
NEWS = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Subscription:
    """A place that hears of new incidents of a severity, or a higher one, since a moment.

    `workspace` names the only one that it hears of; empty for all. `retired` says why Teams takes
    no more messages for it; empty while it does.
    """

    place: Place
    floor: str
    since: datetime
    by: str = ""
    retired: str = ""
    workspace: str = ""


@dataclass(frozen=True, slots=True)
class Announcement:
    """One incident in one place: what it is to show, what it shows, and the message that does.

    `wanted` and `sent` are states as `state_of` names them, or `GONE`; `activity` is empty where
    no message shows it. In a digest several announcements share a message.
    """

    place: str
    incident: IncidentRef
    wanted: str
    seen: datetime
    sent: str = ""
    activity: str = ""
    digest: bool = False


def reaches(severity: str, floor: str) -> bool:
    """Say whether a severity is at or above a floor; one that nobody knows always is."""
    if severity not in SEVERITIES or floor not in SEVERITIES:
        return True
    return SEVERITIES.index(severity) >= SEVERITIES.index(floor)


def severity_named(word: str) -> str:
    """The severity that an analyst means, as Sentinel spells it; empty where it is none."""
    return next((each for each in SEVERITIES if each.casefold() == word.strip().casefold()), "")


def state_of(incident: Incident, tasks: int, prepared: str) -> str:
    """Name what an incident's card shows: the same name, the same card.

    `prepared` names what was prepared for the incident and what of it was added. The name begins
    with that of the incident's line in a digest.
    """
    more = [
        incident.classification,
        incident.owner,
        incident.alerts_count,
        incident.comments_count,
        incident.merged_into,
        tasks,
        prepared,
    ]
    return f"{line_of(incident)}-{_hashed(more)}"


def line_of(incident: Incident) -> str:
    """Name what an incident's line in a digest shows."""
    return _hashed([incident.severity, incident.status, incident.title])


def line_state(state: str) -> str:
    """The line's part of a state."""
    return state.partition("-")[0]


def with_line(state: str, line: str) -> str:
    """A state with another line."""
    return f"{line}-{state.partition('-')[2]}"


def _hashed(shown: Sequence[str | int]) -> str:
    return hashlib.sha256(json.dumps(shown).encode()).hexdigest()[:16]
