"""What every use case works with: the ports, the texts, and a way to count tokens."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace

from prompts import Prompts
from prompts.playbook import Playbook

from ..domain.budget import Counter
from ..domain.incident import IncidentRef, Workspace
from ..domain.people import Analyst
from ..domain.price import Prices
from ..ports import ChatModel, Clock, Incidents, KqlChecker, Logs, Schema, Store
from ..ports.outgoing import Outbox
from .casefile import CaseFiles
from .rights import Rights


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
    prices: Prices | None = None
    rights: Rights | None = None

    def as_(self, analyst: Analyst) -> Desk:
        """Give this desk the analyst's own rights in Azure, where those are to decide.

        What nobody asked for (announcing, polling, the playbook) keeps the desk it was given, and
        with it the bot's own identity.
        """
        if self.rights is None:
            return self
        access = self.rights.of(analyst)
        return replace(self, incidents=access.incidents, cases=access.cases, logs=access.logs)

    def ref(self, incident_id: str) -> IncidentRef:
        """Name an incident of this workspace."""
        return IncidentRef(self.workspace.name, incident_id)


def new_id() -> str:
    """An id that nobody can guess: 128 random bits."""
    return secrets.token_urlsafe(16)


def new_marker() -> str:
    """The marker of one request's evidence: 16 random characters."""
    return secrets.token_hex(8)
