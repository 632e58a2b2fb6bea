"""Reads what Sentinel knows about an incident, and does nothing twice for what has not changed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from ..domain.budget import EVIDENCE_TOKENS, Counter
from ..domain.evidence import Evidence, gather, within
from ..domain.incident import Alert, CaseFile, Comment, Entity, Incident
from ..domain.injection import addressed_to_assistant
from ..domain.recent import Recent
from ..ports import Clock, Incidents

_FRESH_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class _Kept:
    etag: str
    read_at: float
    alerts: tuple[Alert, ...]
    entities: tuple[Entity, ...]
    comments: tuple[Comment, ...]


@dataclass(frozen=True, slots=True)
class Studied:
    """A case file with what a model may be shown of it, and where it talks to an assistant."""

    case: CaseFile
    evidence: Evidence
    warnings: tuple[str, ...]


class CaseFiles:
    """Case files of one workspace.

    The incident and its tasks are read each time. Alerts, entities and comments are kept for a
    minute while the incident's etag stays the same: a new comment bumps it (facts 1.5), but whether
    every new alert does is not documented. `most` is how many case files are kept.
    """

    def __init__(self, incidents: Incidents, clock: Clock, most: int = 256) -> None:
        self._incidents = incidents
        self._clock = clock
        self._kept = Recent[str, _Kept](most)
        self._studied = Recent[str, Studied](most)

    async def study(self, incident_id: str, count: Counter) -> Studied:
        """Read a case file and make evidence of it, within its share of a request's tokens.

        The last result stands while the case file reads the same: a fifth of a question's CPU time
        would go into working out again what was worked out for the last one. Raises SentinelError.
        """
        case = await self.read(incident_id)
        last = self._studied.get(incident_id)
        if last is not None and last.case == case:
            return last
        gathered = gather(case)
        evidence = within(gathered, count, EVIDENCE_TOKENS)
        studied = Studied(case, evidence, addressed_to_assistant(gathered))
        self._studied[incident_id] = studied
        return studied

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
        return kept
