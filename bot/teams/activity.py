"""Reads what an incoming activity says: its shape is checked once, here, and trusted nowhere."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, cast
from urllib.parse import urlsplit

import orjson

from ..domain import endpoint
from ..domain.people import Analyst, Place
from ..errors import NotAllowed, NotAnActivity
from ..ports import Claim, JsonObject

MAX_BODY = 256 * 1024
_MAX_ID = 1_000
_MAX_DEPTH = 64

# Where Teams' connectors live (docs: bot-service channels; facts 6.3). Our connector token goes to
# whatever service URL an activity names, so nothing else is accepted.
_SERVICE_HOSTS = frozenset(
    {
        "smba.trafficmanager.net",
        "smba.infra.gcc.teams.microsoft.com",
        "smba.infra.gov.teams.microsoft.us",
        "smba.infra.dod.teams.microsoft.us",
        "frontend.botapi.msg.infra.teams.microsoftonline.cn",
    }
)


def service_url_allowed(url: str, *, loopback: bool) -> bool:
    """Say whether we may talk to this connector; `loopback` where one on this machine may be."""
    try:
        parts = urlsplit(url)
        if parts.username or parts.password or parts.port not in (None, 443):
            return loopback and endpoint.is_loopback(url) and endpoint.problem(url) is None
    except ValueError:
        return False
    if parts.scheme == "https" and (parts.hostname or "") in _SERVICE_HOSTS:
        return True
    return loopback and endpoint.is_loopback(url) and endpoint.problem(url) is None


def parse(body: bytes) -> JsonObject:
    """Read a body as an activity. Raises NotAnActivity with what is wrong."""
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise NotAnActivity("The body is not JSON.") from error
    if not isinstance(data, dict):
        raise NotAnActivity("The body is not a JSON object.")
    activity = cast(JsonObject, data)
    if _too_deep(activity):
        raise NotAnActivity("The body is nested too deeply.")
    for name in ("type", "channelId", "serviceUrl"):
        _identifier(activity, name)
    _identifier(_object(activity, "conversation"), "id", "conversation.id")
    if activity["type"] in ("message", "invoke"):
        _identifier(activity, "id")
        _identifier(_object(activity, "from"), "id", "from.id")
        _identifier(_object(activity, "recipient"), "id", "recipient.id")
    if not isinstance(activity.get("text") or "", str):
        raise NotAnActivity("The activity's text is not text.")
    if activity["type"] == "invoke":
        _identifier(activity, "name")
    for name in ("entities", "attachments"):
        if not isinstance(activity.get(name) or [], list):
            raise NotAnActivity(f"The activity's {name} are not a list.")
    return activity


def _too_deep(value: Any) -> bool:
    level: list[Any] = [value]
    for _ in range(_MAX_DEPTH):
        level = [
            child
            for each in level
            for child in (
                cast(JsonObject, each).values() if isinstance(each, dict) else cast(list[Any], each)
            )
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True


def _identifier(holder: JsonObject, name: str, called: str = "") -> str:
    value = holder.get(name)
    if not isinstance(value, str) or not value.strip() or len(value) > _MAX_ID:
        raise NotAnActivity(f"The activity has no usable {called or name}.")
    return value


def _object(holder: JsonObject, name: str) -> JsonObject:
    value = holder.get(name)
    return cast(JsonObject, value) if isinstance(value, dict) else {}


def _string(holder: JsonObject, name: str) -> str:
    value = holder.get(name)
    return value.strip() if isinstance(value, str) else ""


def tenant_of(activity: JsonObject) -> str:
    """The user's tenant, which only `channelData` and the conversation carry (facts 6.3)."""
    named = {
        _string(_object(_object(activity, "channelData"), "tenant"), "id").lower(),
        _string(_object(activity, "conversation"), "tenantId").lower(),
    } - {""}
    if len(named) > 1:
        raise NotAllowed("The activity names two tenants.")
    return named.pop() if named else ""


def analyst_of(activity: JsonObject) -> Analyst:
    """Who sent it: the Entra object id, or in local mode whatever id the client has."""
    sender = _object(activity, "from")
    id = _string(sender, "aadObjectId") or _string(sender, "id")
    return Analyst(tenant_of(activity), id, _string(sender, "name")[:100] or "an analyst")


def place_of(activity: JsonObject) -> Place:
    """Where it was said. An unknown kind of conversation is treated as a group: nothing streams."""
    conversation = _object(activity, "conversation")
    kind = _string(conversation, "conversationType")
    if not kind:
        kind = "groupChat" if conversation.get("isGroup") else "personal"
    return Place(
        tenant=tenant_of(activity),
        conversation=_string(conversation, "id"),
        kind=kind if kind in ("personal", "groupChat", "channel") else "groupChat",
        service_url=_string(activity, "serviceUrl"),
        bot_id=_string(_object(activity, "recipient"), "id"),
    )


def text_of(activity: JsonObject) -> str:
    """What was said, without the bot's own name in front and without the client's markup."""
    text = activity.get("text") or ""
    bot = _string(_object(activity, "recipient"), "id")
    for entity in cast(list[Any], activity.get("entities") or []):
        if not isinstance(entity, dict):
            continue
        fields = cast(JsonObject, entity)
        mention = _string(fields, "text")
        if fields.get("type") == "mention" and mention:
            mentioned = _object(fields, "mentioned")
            name = "" if _string(mentioned, "id") == bot else _string(mentioned, "name")
            text = text.replace(mention, name)
    text = re.sub(r"</?at(?:\s[^>]{0,200})?>", "", text)
    return re.sub(r"[ \t\u00a0]+", " ", text.replace("&nbsp;", " ")).strip()


def claim_of(activity: JsonObject, now: datetime) -> Claim:
    """The activity as something that is owed an answer; its key is the same for every repeat."""
    conversation = _string(_object(activity, "conversation"), "id")
    return Claim(f"{conversation}/{activity['id']}", conversation, activity, now)
