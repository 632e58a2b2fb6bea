"""What a place hears of new incidents, and what its messages show of them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime

from .incident import Incident, IncidentRef
from .people import Place

SEVERITIES = ("Informational", "Low", "Medium", "High")
CLOSED = "Closed"


@dataclass(frozen=True, slots=True)
class Subscription:
    """A place that hears of new incidents of a severity, or a higher one, since a moment.

    `retired` says why Teams takes no more messages for it; empty while it does.
    """

    place: Place
    floor: str
    since: datetime
    by: str = ""
    retired: str = ""


@dataclass(frozen=True, slots=True)
class Announcement:
    """One incident in one place: what it is to show, what it shows, and the message that does.

    `wanted` and `sent` are states as `state_of` names them; `activity` is empty until something
    was sent. In a digest several announcements share a message.
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

    `prepared` names what was prepared for the incident and what of it was added.
    """
    shown = [
        incident.severity,
        incident.status,
        incident.classification,
        incident.owner,
        incident.title,
        incident.alerts_count,
        incident.comments_count,
        tasks,
        prepared,
    ]
    return hashlib.sha256(json.dumps(shown).encode()).hexdigest()[:16]
