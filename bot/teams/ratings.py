"""Records a thumb up or down together with what the answer under it came from."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import cast

from ..domain.incident import IncidentRef
from ..ports import Answered, AuditItem, JsonObject, Store
from .activity import analyst_of, place_of

UNKNOWN = "unknown"
_KNOWN = ("asked", "question_sha256", "prompt", "model", "proposal")


def origin(answered: Answered) -> JsonObject:
    """What a thumb on an answer will be recorded with, in JSON and without any text.

    Empty where no model wrote the answer: Teams then offers no thumbs.
    """
    item = next((each for each in answered.audit if "question_sha256" in each.detail), None)
    if item is None or not answered.reply.by_model:
        return {}
    return {
        "incident": asdict(item.incident) if item.incident else None,
        "incident_number": item.incident_number,
        "asked": item.action,
        "question_sha256": item.detail["question_sha256"],
        "prompt": item.detail["prompt"],
        "model": item.detail["model"] or UNKNOWN,
        "proposal": answered.proposal.id if answered.proposal else "",
    }


async def record(store: Store, body: JsonObject, value: JsonObject, now: datetime) -> None:
    """Record a thumb and what was written beside it. Raises StoreError.

    Where the answer is not known, as after the sweep or below what nobody asked for, it says so.
    """
    analyst, message = analyst_of(body), str(body.get("replyToId", ""))[:200]
    left = await store.sent_by(place_of(body).conversation, message) or {}
    known: JsonObject = left.get("origin", {})
    incident = known.get("incident")
    action = value.get("actionValue")
    given = cast(JsonObject, action) if isinstance(action, dict) else {}
    detail = {
        "reaction": str(given.get("reaction", ""))[:20],
        "feedback": str(given.get("feedback", ""))[:2000],
        "message": message,
    }
    await store.record(
        AuditItem(
            at=now,
            tenant=analyst.tenant,
            action="feedback",
            analyst_id=analyst.id,
            analyst_name=analyst.name,
            incident=IncidentRef(**incident) if incident else None,
            incident_number=known.get("incident_number", 0),
            detail=detail | {name: known.get(name, UNKNOWN) for name in _KNOWN},
        )
    )
