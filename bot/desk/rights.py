"""Whose rights Azure is asked with: an analyst's own, beside the bot's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from ..domain.incident import Workspace
from ..domain.people import Analyst
from ..domain.recent import Recent
from ..ports import Incidents, Logs, Schema
from ..ports.rights import SignIns
from .casefile import CaseFiles

_KEPT = 500


@dataclass(frozen=True, slots=True)
class Access:
    """A workspace as one identity may see it, with the case files that were read with it.

    The schema is the bot's: it holds names of tables and columns only.
    """

    workspace: Workspace
    incidents: Incidents
    cases: CaseFiles
    logs: Logs
    schema: Schema


Accesses = Mapping[str, Access]


class Rights:
    """The workspaces as each analyst may see them: what one read is never shown to another.

    `open` makes accesses, by the workspace's name, that ask for their token with each request. The
    last 500 analysts' are kept, for their case files.
    """

    def __init__(
        self, sign_ins: SignIns, open: Callable[[Callable[[], Awaitable[str]]], Accesses]
    ) -> None:
        self._sign_ins = sign_ins
        self._open = open
        self._kept = Recent[tuple[str, str], Accesses](_KEPT)

    def of(self, analyst: Analyst) -> Accesses:
        """The workspaces with this analyst's rights; asking Azure may raise SignInNeeded."""
        key = analyst.tenant, analyst.id
        own = self._kept.pop(key, None) or self._open(lambda: self._sign_ins.token(analyst))
        self._kept[key] = own
        return own

    async def check(self, analyst: Analyst) -> None:
        """Raises SignInNeeded where the analyst has not signed in."""
        await self._sign_ins.token(analyst)

    async def sign_out(self, analyst: Analyst) -> None:
        """Forget the analyst's sign-in, and what was read with it."""
        self._kept.pop((analyst.tenant, analyst.id), None)
        await self._sign_ins.sign_out(analyst)
