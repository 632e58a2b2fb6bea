"""Shows one incident, or a list of them to choose from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ..domain.incident import CaseFile, Incident
from ..domain.proposal import Proposal, Write
from ..domain.rendering import plain
from ._format import age, counted, listed, moment, spaced
from ._parts import (
    Card,
    action_set,
    beside,
    card,
    execute,
    facts,
    fitted,
    notices,
    open_link,
    say,
    severity_colour,
    subtle,
    text,
    title,
)
from .act import acting
from .playbook import playbook_blocks

MAX_LISTED = 10
_NOBODY = "nobody yet"
_UNTITLED = "(no title)"


def incident_card(
    case: CaseFile | Incident,
    now: datetime,
    warnings: Sequence[str] = (),
    done: str = "",
    prepared: Proposal | None = None,
    writes: Sequence[Write] = (),
) -> Card:
    """Show an incident at a glance; a case file adds its entities and tasks.

    `warnings` name text in the incident that is addressed to an assistant; `done` is what was just
    changed and by whom, safe to show. `prepared` is the playbook's, and `writes` what of it was
    added.
    """
    incident = case.incident if isinstance(case, CaseFile) else case

    def build(share: int) -> Card:
        body = [
            *notices(warnings, "", share),
            title(f"Incident {incident.called}"),
            text(plain(incident.title, min(300, share)) or _UNTITLED, spacing="small"),
            beside([_severity(incident, share)], [text(_status(incident, share))]),
            facts(_facts(case, incident, now, share)),
            *([text(done, color="good", spacing="small")] if done else []),
            *acting(incident),
            *(playbook_blocks(prepared, writes, share) if prepared else []),
        ]
        buttons = [
            say("Summary", f"summary #{incident.called}"),
            say("Tasks", f"tasks #{incident.called}"),
            *open_link("Open in Sentinel", incident.url),
        ]
        return card(body, buttons)

    return fitted(build)


def unfurled_card(incident: Incident, now: datetime) -> Card:
    """Show an incident where its link was pasted, as it was then, with nothing to press but a link.

    There Teams takes version 1.3, remembers the card for 30 minutes, and leaves it in chats that no
    bot is in (docs: link-unfurling).
    """
    shown = incident_card(incident, now)
    as_of = f"As of {moment(now, now)}. To work on it, say **incident {incident.called}** to me."
    body = [each for each in shown["body"] if each["type"] != "ActionSet"]
    made = card([*body, subtle(as_of)], open_link("Open in Sentinel", incident.url))
    return made | {"version": "1.3"}


def incidents_card(incidents: Sequence[Incident], now: datetime, more: str = "") -> Card:
    """List incidents to open, in the order given; `more` is what one says for the next page."""

    def build(share: int) -> Card:
        body = [title("Incidents") if incidents else text("There are no incidents to show.")]
        body += [_row(incident, now, share) for incident in incidents[:MAX_LISTED]]
        if more or len(incidents) > MAX_LISTED:
            body.append(
                subtle("There are more. Say **incident** and a number to open any.", separator=True)
            )
        return card(body, [say("Next", more)] if more else [])

    return fitted(build)


def _row(incident: Incident, now: datetime, share: int) -> Card:
    owner = plain(incident.owner, min(60, share)) or _NOBODY
    old = f" · {age(incident.created, now)}" if incident.created else ""
    lines = [
        _severity(incident, share, f"{incident.called} · "),
        text(plain(incident.title, min(120, share)) or _UNTITLED, spacing="none"),
        subtle(f"{_status(incident, share)} · {owner}{old}", spacing="none"),
    ]
    button = execute(
        "Open",
        {"verb": "incident", "workspace": incident.ref.workspace, "incident": incident.ref.id},
    )
    row = beside(lines, [action_set([button])], stretch_first=True)
    return row | {"separator": True, "spacing": "medium"}


def _severity(incident: Incident, share: int, number: str = "") -> Card:
    words = plain(incident.severity, min(40, share)) or "No severity"
    return text(number + words, color=severity_colour(incident.severity), weight="bolder")


def _status(incident: Incident, share: int) -> str:
    status = plain(incident.status, min(40, share)) or "No status"
    if incident.merged_into:
        return f"{status}, merged into incident {incident.merged_into}"
    if not incident.classification:
        return status
    return f"{status} as {plain(spaced(incident.classification), min(40, share)).lower()}"


def _facts(
    case: CaseFile | Incident, incident: Incident, now: datetime, share: int
) -> list[tuple[str, str]]:
    limit = min(60, share)
    entities = [entity.name for entity in case.entities] if isinstance(case, CaseFile) else []
    return [
        ("Owner", plain(incident.owner, limit) or _NOBODY),
        ("Contains", _counts(case, incident)),
        ("Tactics", listed([spaced(tactic) for tactic in incident.tactics], limit)),
        ("Techniques", listed(incident.techniques, limit)),
        ("Entities", listed(entities, limit)),
        ("Products", listed(incident.products, limit)),
        ("Activity", _span(incident, now)),
        ("Created", moment(incident.created, now) if incident.created else ""),
        ("Labels", listed(incident.labels, limit)),
    ]


def _span(incident: Incident, now: datetime) -> str:
    ends = (incident.first_activity, incident.last_activity)
    return " to ".join(moment(at, now) for at in ends if at)


def _counts(case: CaseFile | Incident, incident: Incident) -> str:
    """Say how much there is; Sentinel's own counts stand where the parts were not read."""
    if not isinstance(case, CaseFile):
        return (
            f"{counted(incident.alerts_count, 'alert')}, "
            f"{counted(incident.comments_count, 'comment')}"
        )
    done = sum(task.status == "Completed" for task in case.tasks)
    tasks = counted(len(case.tasks), "task") + (f" ({done} completed)" if done else "")
    return ", ".join(
        [
            counted(max(len(case.alerts), incident.alerts_count), "alert"),
            counted(len(case.entities), "entity", "entities"),
            counted(max(len(case.comments), incident.comments_count), "comment"),
            tasks,
        ]
    )
