"""Reads what an incoming activity says: its shape is checked once, here, and trusted nowhere."""

from __future__ import annotations

import re
from datetime import datetime
from functools import lru_cache
from typing import Any, cast
from urllib.parse import quote, urlsplit

import orjson

from ..domain import endpoint
from ..domain.people import Analyst, Place
from ..errors import NotAllowed, NotAnActivity
from ..ports import Claim, JsonObject

MAX_ID = 1_000
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


# Nothing that two parsers could read in two ways: no user, query, white space or backslash.
_SERVICE_URL = re.compile(
    r"https?://[\w.:\[\]-]+(/[\w.~%:@!$&'()*+,;=/-]*)?", re.ASCII | re.IGNORECASE
)


@lru_cache(maxsize=256)  # Teams has a handful, and each turn asks three times
def service_url_allowed(url: str, *, loopback: bool, teams: bool = True) -> bool:
    """Say whether we may talk to this connector.

    `loopback` where one on this machine may be, `teams` where one of Teams' own may be.
    """
    if not _SERVICE_URL.fullmatch(url) or endpoint.problem(url):
        return False
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.port in (None, 443) and parts.hostname in _SERVICE_HOSTS:
        return teams
    return loopback and endpoint.is_loopback(url)


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
    if activity["type"] in ("message", "invoke") or activity.get("id") is not None:
        _identifier(activity, "id")
    if activity["type"] in ("message", "invoke"):
        _identifier(_object(activity, "from"), "id", "from.id")
        _identifier(_object(activity, "recipient"), "id", "recipient.id")
    if not isinstance(activity.get("text"), str | None):
        raise NotAnActivity("The activity's text is not text.")
    if activity["type"] == "invoke":
        _identifier(activity, "name")
    for name in ("entities", "attachments"):
        if not isinstance(activity.get(name), list | None):
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
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_ID:
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
    account = _string(sender, "id")
    id = _string(sender, "aadObjectId") or account
    name = _string(sender, "name")[:100] or "an analyst"
    return Analyst(tenant_of(activity), id, name, account)


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


_MENTION = re.compile(r"<at(?:\s[^<>]{0,200})?>([^<>]{0,200})</at>")
_TAG = re.compile(r"</?at(?:\s[^<>]{0,200})?>")


def text_of(activity: JsonObject) -> str:
    """What was said, without the bot's own name and without the client's markup.

    A card's button may say something for the analyst: `{"verb": "say", "words": "help"}`.
    """
    said = activity.get("text") or ""
    value = _object(activity, "value")
    if not said and value.get("verb") == "say":
        said = _string(value, "words")[:200]
    bot = _object(activity, "recipient")
    own = {_string(bot, "name")}
    for entity in cast(list[Any], activity.get("entities") or []):
        fields = cast(JsonObject, entity) if isinstance(entity, dict) else {}
        if _string(_object(fields, "mentioned"), "id") == _string(bot, "id"):
            own.add(_TAG.sub("", _string(fields, "text")).strip())
    text = _MENTION.sub(lambda found: " " if found[1].strip() in own else found[1], said)
    text = _TAG.sub("", text)
    return re.sub(r"[ \t\u00a0]+", " ", text.replace("&nbsp;", " ")).lstrip(" ,:;").strip()


def claim_of(activity: JsonObject, now: datetime) -> Claim:
    """The activity as something that is owed an answer; its key is the same for every repeat."""
    conversation = _string(_object(activity, "conversation"), "id")
    return Claim(f"{conversation}/{quote(activity['id'], safe=':')}", conversation, activity, now)
