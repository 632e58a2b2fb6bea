"""A Sentinel or Defender incident link, pasted into a message: shown as the incident's card."""

from __future__ import annotations

from html import escape
from urllib.parse import urlsplit

from bot.cards import unfurled_card
from bot.desk.desk import Desk
from bot.desk.find import find
from bot.domain.incident import Incident, mentioned
from bot.domain.people import Analyst
from bot.domain.rendering import unmarked
from bot.ports import Unfurl, Unfurled

MAX_LINK_CHARS = 4_000
_PORTALS = (
    "portal.azure.com",
    "portal.azure.us",
    "portal.azure.cn",
    "security.microsoft.com",
    "security.microsoft.us",
)


def unfurler(desk: Desk) -> Unfurl:
    """Show what is pasted at this desk; pasting a link asks nothing and leaves no trace."""

    async def unfurl(analyst: Analyst, url: str) -> Unfurled:
        mention = mentioned(url, desk.choices) if _is_portal(url) else None
        if mention is None:
            return Unfurled()
        desk.allowance.request(analyst)
        incident = await find(desk.of(analyst), mention, None)
        card = unfurled_card(incident, desk.clock.now())
        return Unfurled(card, f"Incident {incident.called}", _line(incident))

    return unfurl


def _is_portal(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    known = any(host == each or host.endswith(f".{each}") for each in _PORTALS)
    return parts.scheme == "https" and known and len(url) <= MAX_LINK_CHARS


def _line(incident: Incident) -> str:
    """What stands for the card while the message is written; a thumbnail's text is HTML."""
    facts = [incident.title, incident.severity, incident.status, incident.owner]
    return escape(" · ".join(filter(None, (unmarked(each, 120) for each in facts))))
