"""How nested values are kept as JSON, so that every store reads what any store wrote."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson

from .domain.announcement import Subscription
from .domain.incident import IncidentRef
from .domain.people import Place
from .domain.proposal import Item, Proposal, Provenance
from .domain.query import WrittenQuery
from .domain.transcript import Fold, Note, Turn
from .errors import StoreError
from .ports import AuditItem, JsonObject

NOT_KEEPABLE = (
    "The message or its answer holds characters that cannot be kept. Please send the question "
    "again as plain text."
)
_UNREADABLE = (
    "Something I had kept can no longer be read, so I left it out of use. Please ask again; if it "
    "goes on, tell whoever runs Casemate."
)


def encoded(value: Any) -> bytes:
    """Make JSON of a value, dataclasses and times included.

    Raises StoreError where JSON cannot hold it: half a surrogate pair from a model, a body nested
    more than 254 levels deep.
    """
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        raise StoreError(NOT_KEEPABLE) from error


def decoded(data: bytes) -> JsonObject:
    """Read back what `encoded` made; raises StoreError where it is damaged."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise StoreError(_UNREADABLE) from error


def turn_of(fields: JsonObject) -> Turn:
    """Read a turn of a history; raises StoreError where it is not one."""
    try:
        nested: JsonObject = {
            "asked": datetime.fromisoformat(fields["asked"]),
            "fold": fold_of(fields.get("fold")),
        }
        return Turn(**{**fields, **nested})
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(_UNREADABLE) from error


def fold_of(fields: JsonObject | None) -> Fold | None:
    """Read a turn's fold, where it has one; raises StoreError where it is not one."""
    if fields is None:
        return None
    try:
        nested: JsonObject = {
            "first": datetime.fromisoformat(fields["first"]),
            "last": datetime.fromisoformat(fields["last"]),
            "notes": tuple(Note(**note) for note in fields["notes"]),
            "done": tuple(fields["done"]),
            "named": tuple(fields["named"]),
        }
        return Fold(**{**fields, **nested})
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(_UNREADABLE) from error


def subscription_of(fields: JsonObject) -> Subscription:
    """Read a place that hears of incidents; raises StoreError where it is not one."""
    try:
        nested: JsonObject = {
            "place": Place(**fields["place"]),
            "since": datetime.fromisoformat(fields["since"]),
        }
        return Subscription(**{**fields, **nested})
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(_UNREADABLE) from error


def proposal_of(fields: JsonObject) -> Proposal:
    """Read a proposal; raises StoreError where it is not one."""
    try:
        provenance: JsonObject = {**fields["provenance"]}
        provenance["evidence"] = tuple(provenance["evidence"])
        nested: JsonObject = {
            "incident": IncidentRef(**fields["incident"]),
            "items": tuple(Item(**item) for item in fields["items"]),
            "provenance": Provenance(**provenance),
            "created": datetime.fromisoformat(fields["created"]),
            "query": _query_of(fields.get("query")),
        }
        return Proposal(**{**fields, **nested})
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(_UNREADABLE) from error


def _query_of(fields: JsonObject | None) -> WrittenQuery | None:
    if fields is None:
        return None
    lists: JsonObject = {
        each: tuple(fields[each]) for each in ("assumptions", "problems", "cautions")
    }
    return WrittenQuery(**{**fields, **lists})


def audit_item_of(fields: JsonObject) -> AuditItem:
    """Read an audit item; raises StoreError where it is not one."""
    try:
        incident: JsonObject | None = fields["incident"]
        nested: JsonObject = {
            "at": datetime.fromisoformat(fields["at"]),
            "incident": IncidentRef(**incident) if incident else None,
        }
        return AuditItem(**{**fields, **nested})
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(_UNREADABLE) from error
