"""Lists incidents, newest first, by whose they are, their state and severity, page by page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain

from ..domain.incident import Incident
from ..errors import SentinelDown, SentinelRefused
from ..ports import IncidentPage
from .desk import Desk
from .find import everywhere

SHOWN = 10
MAX_PAGE = 50
# Where the service refuses to filter by owner, this many incidents are looked through.
_LOOKED_THROUGH = 500


@dataclass(frozen=True, slots=True)
class Filters:
    """Which incidents are meant; without a status all that are not closed."""

    mine: bool = False
    statuses: tuple[str, ...] = ()
    severities: tuple[str, ...] = ()

    def odata(self, owner: str) -> str:
        """Say it as Sentinel's `$filter`; `owner` is the object id that `mine` means."""
        parts = [_any_of("status", self.statuses) or "properties/status ne 'Closed'"]
        parts.append(_any_of("severity", self.severities))
        if self.mine and owner:
            parts.append(_any_of("owner/objectId", [owner]))
        return " and ".join(filter(None, parts))

    def fits(self, incident: Incident, owner: str) -> bool:
        """Say whether an incident is meant: a filter that is ignored must not mislead."""
        status = incident.status in self.statuses if self.statuses else incident.status != "Closed"
        severity = not self.severities or incident.severity in self.severities
        return status and severity and (not self.mine or incident.owner_id.lower() == owner.lower())


@dataclass(frozen=True, slots=True)
class Listed:
    """One page of what was asked for; `more` where there is another.

    `unread` says which of several workspaces it lacks, and why.
    """

    incidents: tuple[Incident, ...]
    more: bool
    unread: tuple[str, ...] = ()


async def list_incidents(
    desk: Desk, filters: Filters, page: int, owner: str = "", workspace: str = ""
) -> Listed:
    """Read a page, the first being 1; `owner` is who `mine` means. Raises SentinelError.

    Of several workspaces all are read, or the one that is named; one that cannot be read takes
    nothing from the others.

    Pages are counted out anew: a link to the next one would be an address that goes out with our
    token, and no card holds such a thing.
    """
    needed, unread = SHOWN * page + 1, tuple[str, ...]()
    if workspace or not desk.choices:
        found = await _of_one(desk.at(workspace) if workspace else desk, filters, owner, needed)
    else:
        read, failed = await everywhere(desk, lambda each: _of_one(each, filters, owner, needed))
        if not read:
            raise SentinelDown(" ".join(error.sentence for error in failed.values()))
        found = sorted(chain.from_iterable(read.values()), key=_created, reverse=True)
        unread = tuple(error.sentence for error in failed.values())
    shown = tuple(found[SHOWN * (page - 1) : SHOWN * page])
    return Listed(shown, len(found) >= needed, unread)


def _created(incident: Incident) -> datetime:
    return incident.created or datetime.min.replace(tzinfo=UTC)


async def _of_one(desk: Desk, filters: Filters, owner: str, needed: int) -> list[Incident]:
    try:
        return await _found(desk, filters, owner, filters.odata(owner), needed)
    except SentinelRefused:
        if not filters.mine:
            raise
        # What Sentinel can filter by is not all documented.
        return await _found(desk, filters, owner, filters.odata(""), needed, _LOOKED_THROUGH)


async def _found(
    desk: Desk, filters: Filters, owner: str, odata: str, needed: int, at_once: int = 0
) -> list[Incident]:
    order, top = "properties/createdTimeUtc desc", at_once or needed
    found: list[Incident] = []
    page = IncidentPage(())
    for _ in range(MAX_PAGE):
        page = await desk.incidents.list(filter=odata, order=order, top=top, more=page.more)
        found += [each for each in page.incidents if filters.fits(each, owner)]
        if len(found) >= needed or not page.more or at_once:
            break
    return found


def _any_of(field: str, values: Sequence[str]) -> str:
    literals = ["'" + value.replace("'", "''") + "'" for value in values]
    quoted = [f"properties/{field} eq {literal}" for literal in literals]
    return f"({' or '.join(quoted)})" if len(quoted) > 1 else "".join(quoted)
