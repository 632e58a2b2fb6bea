"""What an analyst can change on an incident, and when there is nothing left to change."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from .incident import Incident
from .people import Analyst
from .rendering import unmarked

SEVERITIES = ("High", "Medium", "Low", "Informational")
OPEN_STATUSES = ("New", "Active")
CLOSED = "Closed"
MAX_CLOSING_CHARS = 1_000

What = Literal["assign", "severity", "status", "close", "reopen"]
Property = Literal["owner", "severity", "status"]

# The property of an incident that each of them changes.
CHANGES: Mapping[str, Property] = {
    "assign": "owner",
    "severity": "severity",
    "status": "status",
    "close": "status",
    "reopen": "status",
}
# What an incident no longer has once it is open again.
_NO_VERDICT = {"classification": None, "classificationReason": None, "classificationComment": None}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an incident turned out to be; `words` is how an analyst reads it."""

    classification: str
    reason: str
    words: str

    @property
    def key(self) -> str:
        """Names the verdict, as `FalsePositive/InaccurateData`."""
        return f"{self.classification}/{self.reason}".rstrip("/")


# The pairs that Sentinel takes (facts 1.2): each reason belongs to one classification.
VERDICTS = {
    each.key: each
    for each in (
        Verdict("TruePositive", "SuspiciousActivity", "True positive (suspicious activity)"),
        Verdict(
            "BenignPositive", "SuspiciousButExpected", "Benign positive (suspicious but expected)"
        ),
        Verdict("FalsePositive", "IncorrectAlertLogic", "False positive (incorrect alert logic)"),
        Verdict("FalsePositive", "InaccurateData", "False positive (inaccurate data)"),
        Verdict("Undetermined", "", "Undetermined"),
    )
}


@dataclass(frozen=True, slots=True)
class Act:
    """A change that an analyst asks for.

    `value` is what the property reads afterwards, `changes` the properties as Sentinel spells them.
    """

    what: What
    value: str
    changes: Mapping[str, Any]
    verdict: Verdict | None = None

    def property_of(self, incident: Incident) -> str:
        """Read the property that this is about, as an analyst does."""
        return getattr(incident, CHANGES[self.what])

    def same(self, one: Incident, other: Incident) -> bool:
        """Say whether nobody changed the property between two readings."""
        if self.what == "assign" and (one.owner_id or other.owner_id):
            return one.owner_id == other.owner_id
        return self.property_of(one) == self.property_of(other)

    def holds(self, incident: Incident) -> bool:
        """Say whether the incident is already as it should be."""
        if self.what == "reopen":
            return incident.status != CLOSED
        if id := self.changes.get("owner", {}).get("objectId"):
            return incident.owner_id.lower() == id
        return self.property_of(incident).casefold() == self.value.casefold()

    def made(self, incident: Incident) -> bool:
        """Say whether it is as it should be by this act: nobody else closed it otherwise."""
        return self.holds(incident) and (
            self.verdict is None
            or incident.closing_comment == self.changes["classificationComment"]
        )

    def wanted(self, incident: Incident) -> Mapping[str, Any]:
        """What to write over the incident; a verdict goes when a closed one is opened."""
        opened = incident.status == CLOSED and CHANGES[self.what] == "status"
        return {**_NO_VERDICT, **self.changes} if opened else self.changes


def assigned_to(analyst: Analyst) -> Act:
    """Make the analyst the owner: by Entra object id, or by name where there is none (local)."""
    name = unmarked(analyst.name, 60)
    owner = {"assignedTo": name}
    with contextlib.suppress(ValueError):
        owner["objectId"] = str(UUID(analyst.id))
    return Act("assign", name, {"owner": owner})


def rated(severity: str) -> Act | None:
    """Set a severity, in any case; None where there is no such severity."""
    value = _known(severity, SEVERITIES)
    return Act("severity", value, {"severity": value}) if value else None


def staged(status: str) -> Act | None:
    """Set a status that is not closed, in any case; None where there is no such status."""
    value = _known(status, OPEN_STATUSES)
    return Act("status", value, {"status": value}) if value else None


def reopened() -> Act:
    """Take a closing back, and its verdict with it."""
    return Act("reopen", "Active", {"status": "Active"})


def closed(verdict: Verdict, comment: str, signature: str) -> Act:
    """Close with a verdict; `signature` says under the comment who did it."""
    written = "\n".join(filter(None, (unmarked(comment, MAX_CLOSING_CHARS), signature)))
    changes = {
        "status": CLOSED,
        "classification": verdict.classification,
        "classificationReason": verdict.reason or None,
        "classificationComment": written,
    }
    return Act("close", CLOSED, changes, verdict)


def _known(word: str, values: tuple[str, ...]) -> str:
    return next((value for value in values if value.casefold() == word.strip().casefold()), "")
