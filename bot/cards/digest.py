"""Shows many new incidents at once: a storm in one message."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ..domain.announcement import SEVERITIES
from ..domain.incident import Incident
from ..domain.rendering import plain
from ._format import age, counted
from ._parts import Card, action_set, card, fitted, say, text, title

# Teams shows six buttons in a row at most; a row of them stands under the incidents it opens.
_IN_A_ROW = 5


def digest_card(incidents: Sequence[Incident], now: datetime) -> Card:
    """List new incidents, the gravest first, each with a button that opens it."""
    ranked = sorted(incidents, key=lambda each: (-_rank(each), -each.number))

    def build(share: int) -> Card:
        body = [title(counted(len(ranked), "new incident"))]
        for start in range(0, len(ranked), _IN_A_ROW):
            group = ranked[start : start + _IN_A_ROW]
            body += [_line(each, now, share) for each in group]
            body.append(action_set([say(each.called, f"incident {each.called}") for each in group]))
        return card(body)

    return fitted(build)


def _rank(incident: Incident) -> int:
    """A severity that nobody knows comes first: somebody should look."""
    known = incident.severity in SEVERITIES
    return SEVERITIES.index(incident.severity) if known else len(SEVERITIES)


def _line(incident: Incident, now: datetime, share: int) -> Card:
    severity = plain(incident.severity, min(20, share)) or "No severity"
    old = f" · {age(incident.created, now)}" if incident.created else ""
    state = "" if incident.status == "New" else f" · {plain(incident.status, min(20, share))}"
    words = plain(incident.title, min(70, share))
    return text(f"{incident.called} · **{severity}**{state}{old} · {words}", spacing="small")
