"""One bot for many attacks: its model repeats whatever it is told to, which is the worst case."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp.test_utils import TestServer

from sandbox.cases import from_yaml
from sandbox.world import Case
from tests.azure.log_analytics_double import METADATA, QUERY, Double, table
from tests.azure.model_double import ModelDouble, says
from tests.clock import FakeClock
from tests.injection.harmless import (
    Request,
    wrong_in_activity,
    wrong_in_field,
    wrong_in_html,
)
from tests.scenario.conftest import Soc, running

KQL = "SigninLogs | where TimeGenerated > ago(1d)"
_COLUMNS = [
    {"name": "TimeGenerated", "type": "datetime"},
    {"name": "UserPrincipalName", "type": "string"},
]
_TABLES = {
    "tables": [
        {"id": "SigninLogs", "name": "SigninLogs", "timespanColumn": "TimeGenerated"}
        | {"columns": _COLUMNS}
    ]
}


@dataclass
class Room:
    """The application with what it was asked, what it sent and what it wrote."""

    soc: Soc
    model: ModelDouble
    logs: Double
    row: str = ""
    ran: list[str] = field(default_factory=list)
    responses: list[Any] = field(default_factory=list)

    def answer(self, asked: Any) -> Any:
        """The logs: every query that a click runs has one row, which holds `row`."""
        if asked.path == METADATA:
            return _TABLES
        if KQL.split()[0] not in asked.query:
            return table({"DataType": "string"})
        self.ran.append(asked.query)
        return table({"TimeGenerated": "datetime", "Text": "string"}, [AT, self.row])

    def add(self, number: int, **parts: Any) -> Case:
        """Put an incident into the workspace."""
        data = {**INCIDENT, "number": number, **parts}
        case = from_yaml(data, self.soc.clock.now(), self.soc.world.etag)
        self.soc.world.cases[case.name] = case
        return case

    def since(self) -> Mark:
        """Remember where things stand."""
        return Mark(self, len(self.soc.teams.requests), len(self.model.asked), self._things())

    def _things(self) -> frozenset[str]:
        cases = self.soc.world.cases.values()
        return frozenset(key for case in cases for key in (*case.tasks, *case.comments))

    def things(self) -> frozenset[str]:
        """The names of all tasks and comments there are."""
        return self._things()


@dataclass
class Mark:
    """A moment; what came after it can be asked for."""

    room: Room
    requests: int
    asked: int
    things: frozenset[str]

    @property
    def sent(self) -> list[Any]:
        """What Teams was sent."""
        return [body for _, _, body in self.room.soc.teams.requests[self.requests :]]

    @property
    def to_model(self) -> list[Request]:
        """What the model was asked, each request taken apart and checked."""
        return [Request(body) for body in self.room.model.asked[self.asked :]]

    def written(self, case: Case) -> list[str]:
        """What was written on an incident."""
        fields = [
            (key, each["properties"])
            for held in (case.tasks, case.comments)
            for key, each in held.items()
            if key not in self.things
        ]
        return [
            text
            for _, each in fields
            for name in ("title", "description", "message")
            if (text := each.get(name))
        ]

    def wrong(self, case: Case) -> list[str]:
        """Say what is wrong with all that was sent and written."""
        teams = "https://teams.microsoft.com/l/chat/0/0?users=28%3A"
        ours = (self.room.soc.world.portal_url, "https://portal.azure.com/#", teams)
        found = [
            wrong
            for each in self.sent + self.room.responses
            for wrong in wrong_in_activity(each, ours)
        ]
        for held in (case.tasks, case.comments):
            for key, each in held.items():
                if key in self.things:
                    continue
                for name, text in each["properties"].items():
                    if name == "title":
                        found += wrong_in_field(text)
                    elif name in ("description", "message"):
                        found += wrong_in_html(text)
        return found


AT = "2026-11-24T08:00:00Z"
INCIDENT: dict[str, Any] = {
    "title": "Unusual process on a laptop",
    "severity": "Medium",
    "status": "New",
    "created": "-1h",
    "owner": None,
    "alerts": [
        {
            "name": "Unusual process",
            "severity": "Medium",
            "product": "Azure Sentinel",
            "at": "-1h",
            "until": "-1h",
            "tactics": ["Execution"],
        }
    ],
}


@asynccontextmanager
async def opened(
    folder: Path, model: ModelDouble | None = None, **more: str
) -> AsyncIterator[Room]:
    """Start everything with a model and logs that say what they are told to."""
    model, logs = model or ModelDouble(says("unused")), Double()
    servers = [TestServer(model.app()), TestServer(logs.app())]
    for server in servers:
        await server.start_server()
    settings = {
        "AZURE_OPENAI_BASE_URL": str(servers[0].make_url("/openai/v1/")),
        "LOG_ANALYTICS_ENDPOINT": str(servers[1].make_url("")),
        "SENTINEL_WORKSPACE_ID": QUERY.split("/")[3],
        "POLL_SECONDS": "0",
        "ENRICH": "off",
        **more,
    }
    try:
        async with running(FakeClock(), folder, **settings) as soc:
            room = Room(soc, model, logs)
            logs.answer = room.answer
            yield room
    finally:
        for server in servers:
            await server.close()
