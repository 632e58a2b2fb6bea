"""Prepares what the next shift needs, from the incident and from what analysts agreed to share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from ..domain.evidence import Entry
from ..domain.incident import IncidentRef
from ..domain.proposal import Item, Proposal
from ..domain.rendering import unmarked
from ..errors import ClickRefused
from ..ports import AuditItem, Clicked, Courier, Said
from .ask import Asked, ask
from .desk import Desk
from .post import checked
from .record import recorded, standing

_EXCERPT = 300
# An answer's citations count the evidence of its own time; its emphasis is lost with its lines.
_NOT_FLAT = re.compile(r"\s?\[\d{1,4}\]|\*\*|`+")


async def prepare_handover(desk: Desk, said: Said, ref: IncidentRef, courier: Courier) -> Asked:
    """Write the handover: the model's words, then what holds without a model.

    Raises what `ask` raises.
    """
    tenant = said.analyst.tenant
    shared = [each for each in await desk.store.shared(ref) if each.tenant == tenant]
    asked = await ask(
        desk,
        said,
        ref,
        desk.prompts["handover"].text,
        courier,
        shown="Prepare the handover.",
        also=[_entry(each) for each in reversed(shared)],
    )
    case = asked.briefing.case
    text = "\n\n".join(
        [
            asked.text,
            _listed("Where it stands", standing(case)),
            _listed("Through Casemate", await recorded(desk, tenant, ref)),
            *(["\n".join(["**Shared answers**", "", *map(_told, shared)])] if shared else []),
        ]
    )
    if asked.proposal is None:
        return replace(asked, text=text)
    item = Item(f"Handover of incident {case.incident.number}", text)
    return replace(asked, text=text, proposal=replace(asked.proposal, items=(item,)))


async def share(desk: Desk, clicked: Clicked, proposal_id: str, shared: bool) -> Proposal:
    """Let the next shift see an answer, or no longer: only who asked may say so.

    Raises ClickRefused.
    """
    proposal = await checked(desk, clicked, proposal_id)
    origin = proposal.provenance
    if proposal.kind != "answer" or not proposal.message.get("shareable", True):
        raise ClickRefused("This card holds no answer to share.")
    if not origin.asked_by_id or origin.asked_by_id != clicked.analyst.id:
        raise ClickRefused(
            f"Only {unmarked(origin.asked_by, 60)}, who asked, can share this answer. "
            "Ask the question yourself to share yours.",
            "another analyst",
        )
    if await desk.store.share(proposal, shared, clicked.at):
        await desk.store.record(
            AuditItem(
                at=clicked.at,
                tenant=proposal.tenant,
                action="share",
                analyst_id=clicked.analyst.id,
                analyst_name=clicked.analyst.name,
                incident=proposal.incident,
                incident_number=proposal.incident_number,
                detail={"proposal": proposal.id, "shared": shared},
            )
        )
    return proposal


def _entry(proposal: Proposal) -> Entry:
    origin = proposal.provenance
    fields = {
        "by": origin.asked_by,
        "question": origin.question,
        "answer": _NOT_FLAT.sub("", proposal.items[0].text),
        "asked": f"{proposal.created:%Y-%m-%dT%H:%M:%SZ}",
    }
    return proposal.id, f"What {origin.asked_by} asked", fields


def _told(proposal: Proposal) -> str:
    origin = proposal.provenance
    return (
        f"- {_flat(origin.asked_by, 60)}, {proposal.created:%Y-%m-%d %H:%M} UTC: "
        f"“{_flat(origin.question, 160)}” {_flat(proposal.items[0].text, _EXCERPT)}"
    )


def _listed(heading: str, lines: Sequence[str]) -> str:
    shown = [f"- {_flat(line, 600)}" for line in lines] or ["- Nothing yet."]
    return "\n".join([f"**{heading}**", "", *shown])


def _flat(text: str, limit: int) -> str:
    return unmarked(_NOT_FLAT.sub("", text), limit)
