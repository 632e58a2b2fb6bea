"""What every use case works with: the ports, the texts, and a way to count tokens."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from prompts import Prompts
from prompts.playbook import Playbook

from ..domain.budget import Counter
from ..domain.incident import IncidentRef, Workspace
from ..domain.people import Analyst
from ..domain.price import Prices
from ..domain.proposal import playbook_id
from ..errors import IncidentNotFound
from ..ports import ChatModel, Clock, Incidents, KqlChecker, Logs, Schema, Store
from ..ports.outgoing import Outbox
from .allowance import Allowance, Metered
from .casefile import CaseFiles
from .rights import Access, Rights


async def _nobody_is_told(incident: IncidentRef) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Desk:
    """The desk of one workspace; `at` gives the same desk at another."""

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
    # Time for leases: `clock`'s, which somebody may set, would jump.
    lease_time: Callable[[], datetime]
    prompts: Prompts
    playbook: Playbook
    count: Counter
    allowance: Allowance
    prices: Prices | None = None
    rights: Rights | None = None
    # Told of each incident that was changed from here.
    changed: Callable[[IncidentRef], Awaitable[None]] = _nobody_is_told
    # All that are served, by name; left out where the desk knows one only.
    workspaces: Mapping[str, Access] = field(default_factory=dict[str, Access])

    def of(self, analyst: Analyst) -> Desk:
        """Give the same desk to one analyst for a turn, on their account, with a note of its own
        which prompts are taken and, where that is set, with their own rights in Azure.

        What nobody asked for (announcing, polling, the playbook) keeps the desk it was given, and
        with it the bot's own identity.
        """
        model = Metered(self.model, self.allowance, analyst)
        desk = replace(self, model=model, prompts=self.prompts.noting())
        if self.rights is None:
            return desk
        own = self.rights.of(analyst)
        return replace(desk._through(own[self.workspace.name]), workspaces=own)

    @property
    def choices(self) -> tuple[Workspace, ...]:
        """The workspaces of which one has to be named; none where there is only one."""
        if len(self.workspaces) < 2:
            return ()
        return tuple(each.workspace for each in self.workspaces.values())

    def at(self, workspace: str) -> Desk:
        """The same desk, with the same rights, at the workspace of this name.

        Raises IncidentNotFound where it is not served (any more).
        """
        if workspace == self.workspace.name:
            return self
        if (access := self.workspaces.get(workspace)) is None:
            raise IncidentNotFound("The incident's workspace is not one of those that I work with.")
        return self._through(access)

    def _through(self, access: Access) -> Desk:
        return replace(
            self,
            workspace=access.workspace,
            incidents=access.incidents,
            cases=access.cases,
            logs=access.logs,
            schema=access.schema,
        )

    def playbook_id(self, incident: IncidentRef) -> str:
        """Name what is prepared for an incident."""
        return playbook_id(incident, several=bool(self.choices))

    def ref(self, incident_id: str) -> IncidentRef:
        """Name an incident of this workspace."""
        return IncidentRef(self.workspace.name, incident_id)


def new_id() -> str:
    """An id that nobody can guess: 128 random bits."""
    return secrets.token_urlsafe(16)


def new_marker() -> str:
    """The marker of one request's evidence: 16 random characters."""
    return secrets.token_hex(8)
