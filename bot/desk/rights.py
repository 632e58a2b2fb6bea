"""Whose rights Azure is asked with: an analyst's own, beside the bot's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ..domain.people import Analyst
from ..domain.recent import Recent
from ..ports import Incidents, Logs
from ..ports.rights import SignIns
from .casefile import CaseFiles

_KEPT = 500


@dataclass(frozen=True, slots=True)
class Access:
    """A workspace as one identity may see it, with the case files that were read with it."""

    incidents: Incidents
    cases: CaseFiles
    logs: Logs


class Rights:
    """The workspace as each analyst may see it: what one read is never shown to another.

    `open` makes an access that asks for its token with each request. The last 500 analysts' are
    kept, for their case files.
    """

    def __init__(
        self, sign_ins: SignIns, open: Callable[[Callable[[], Awaitable[str]]], Access]
    ) -> None:
        self._sign_ins = sign_ins
        self._open = open
        self._kept = Recent[tuple[str, str], Access](_KEPT)

    def of(self, analyst: Analyst) -> Access:
        """The workspace with this analyst's rights; asking Azure may raise SignInNeeded."""
        key = analyst.tenant, analyst.id
        access = self._kept.pop(key, None) or self._open(lambda: self._sign_ins.token(analyst))
        self._kept[key] = access
        return access

    async def check(self, analyst: Analyst) -> None:
        """Raises SignInNeeded where the analyst has not signed in."""
        await self._sign_ins.token(analyst)

    async def sign_out(self, analyst: Analyst) -> None:
        """Forget the analyst's sign-in, and what was read with it."""
        self._kept.pop((analyst.tenant, analyst.id), None)
        await self._sign_ins.sign_out(analyst)
