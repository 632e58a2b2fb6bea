"""What every use case works with: the ports, the texts, and a way to count tokens."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from prompts import Prompts
from prompts.playbook import Playbook

from ..domain.budget import Counter
from ..domain.incident import IncidentRef, Workspace
from ..domain.people import Analyst
from ..domain.price import Prices
from ..ports import ChatModel, Clock, Incidents, KqlChecker, Logs, Schema, Store
from ..ports.outgoing import Outbox
from .allowance import Allowance, Metered
from .casefile import CaseFiles
from .rights import Rights


async def _nobody_is_told(incident_id: str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Desk:
    """The desk of one workspace."""

    workspace: Workspace
    incidents: Incidents
    cases: CaseFiles
    model: ChatModel
    logs: Logs
    schema: Schema
    checker: KqlChecker
    store: Store
    outbox: Outbox
    clock: Clock
    prompts: Prompts
    playbook: Playbook
    count: Counter
    allowance: Allowance
    prices: Prices | None = None
    rights: Rights | None = None
    # Told of each incident that was changed from here.
    changed: Callable[[str], Awaitable[None]] = _nobody_is_told

    def of(self, analyst: Analyst) -> Desk:
        """Give the same desk to one analyst, on their account and, where that is set, with their
        own rights in Azure.

        What nobody asked for (announcing, polling, the playbook) keeps the desk it was given, and
        with it the bot's own identity.
        """
        model = Metered(self.model, self.allowance, analyst)
        if self.rights is None:
            return replace(self, model=model)
        own = self.rights.of(analyst)
        return replace(self, model=model, incidents=own.incidents, cases=own.cases, logs=own.logs)

    def ref(self, incident_id: str) -> IncidentRef:
        """Name an incident of this workspace."""
        return IncidentRef(self.workspace.name, incident_id)


def new_id() -> str:
    """An id that nobody can guess: 128 random bits."""
    return secrets.token_urlsafe(16)


def new_marker() -> str:
    """The marker of one request's evidence: 16 random characters."""
    return secrets.token_hex(8)
