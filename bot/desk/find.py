"""Finds what is meant over all workspaces; one that is down takes nothing from the others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..domain.incident import Incident, IncidentRef, Mention
from ..errors import IncidentNotFound, SentinelDown, SentinelError, SentinelForbidden, WhichIncident
from .desk import Desk

T = TypeVar("T")

# An analyst waits for the slowest of them.
PATIENCE_SECONDS = 8.0


async def everywhere(
    desk: Desk, ask: Callable[[Desk], Awaitable[T]]
) -> tuple[dict[str, T], dict[str, SentinelError]]:
    """Ask all workspaces at the same time; what each gave, and why the others gave nothing."""
    failed: dict[str, SentinelError] = {}

    async def of(name: str) -> tuple[str, T] | None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return name, await ask(desk.at(name))
        except SentinelError as error:
            failed[name] = error
        except TimeoutError:
            failed[name] = SentinelDown(
                f"Sentinel (the workspace {name}) did not answer within {PATIENCE_SECONDS:g} s."
            )
        return None

    given = await asyncio.gather(*map(of, desk.workspaces))
    return dict(each for each in given if each), failed


async def find(desk: Desk, mention: Mention, focus: IncidentRef | None) -> Incident:
    """The incident that a sentence names, in whichever workspace it is.

    The one in focus goes before others of the same number. Else it is taken only where every
    workspace told that it has no other: a guess could read, or change, another customer's incident.
    Raises SentinelError and WhichIncident.
    """
    if mention.workspace or not desk.choices:
        named = desk.at(mention.workspace) if mention.workspace else desk
        return await named.incidents.find(mention)
    found, failed = await everywhere(desk, lambda each: each.incidents.find(mention))
    incidents = list(found.values())
    if focused := [each for each in incidents if each.ref == focus]:
        return focused[0]
    # Where one may not read, one cannot mean an incident.
    absent = (IncidentNotFound, SentinelForbidden)
    silent = [error for error in failed.values() if not isinstance(error, absent)]
    if len(incidents) == 1 and not silent:
        return incidents[0]
    told = " ".join(error.sentence for error in silent)
    if incidents:
        named = " and in ".join(each.ref.workspace for each in incidents)
        more = f", and may be elsewhere: {told}" if told else "."
        choices = [(each.number, each.ref.workspace) for each in incidents]
        raise WhichIncident(f"It is in {named}{more} Which one do you mean?", choices)
    if silent:
        raise SentinelDown(told)
    what = "such incident" if mention.number is None else f"incident {mention.number}"
    raise IncidentNotFound(f"There is no {what} in {', '.join(failed)}.")
