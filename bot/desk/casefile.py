"""Reads what Sentinel knows about an incident, without asking twice for what has not changed."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass

from ..domain.incident import Alert, CaseFile, Comment, Entity, Incident
from ..ports import Clock, Incidents

_KEPT = 256
_FRESH_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class _Kept:
    etag: str
    read_at: float
    alerts: tuple[Alert, ...]
    entities: tuple[Entity, ...]
    comments: tuple[Comment, ...]


class CaseFiles:
    """Case files of one workspace.

    The incident and its tasks are read each time. Alerts, entities and comments are kept for a
    minute while the incident's etag stays the same: a new comment bumps it (facts 1.5), but whether
    every new alert does is not documented.
    """

    def __init__(self, incidents: Incidents, clock: Clock) -> None:
        self._incidents = incidents
        self._clock = clock
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    async def read(self, incident_id: str) -> CaseFile:
        """Read all there is about an incident. Raises SentinelError."""
        incident, tasks = await asyncio.gather(
            self._incidents.get(incident_id), self._incidents.tasks(incident_id)
        )
        kept = await self._rest(incident)
        return CaseFile(incident, kept.alerts, kept.entities, kept.comments, tasks)

    async def _rest(self, incident: Incident) -> _Kept:
        id = incident.ref.id
        kept = self._kept.get(id)
        now = self._clock.monotonic()
        if kept and kept.etag == incident.etag and now - kept.read_at < _FRESH_SECONDS:
            self._kept.move_to_end(id)
            return kept
        kept = _Kept(
            incident.etag,
            now,
            *await asyncio.gather(
                self._incidents.alerts(id),
                self._incidents.entities(id),
                self._incidents.comments(id),
            ),
        )
        self._kept[id] = kept
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return kept
