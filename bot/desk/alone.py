"""Lets an analyst have one question on an incident in work at a time, whichever chat it came from.

The chats of one analyst are worked on side by side, perhaps by several replicas. Two questions on
one incident would not see each other's answers, and cost the same evidence twice.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Concatenate, ParamSpec, TypeVar

from ..domain.incident import IncidentRef
from ..errors import OverLimit, StoreError
from ..ports import Said
from .desk import Desk

P = ParamSpec("P")
R = TypeVar("R")
Investigates = Callable[Concatenate[Desk, Said, IncidentRef, P], Awaitable[R]]

# How long the second question waits for the first, in seconds, and how often it looks.
PATIENCE, LOOK = 60.0, 0.5
# No turn lasts longer. A process that dies in the middle leaves the place taken for the rest of it,
# but not for the same question, which whoever takes it up asks again.
LONGEST = timedelta(minutes=5)
_IN_WORK = (
    "I am still working on your last question about this incident. "
    "Please ask again when it is answered."
)


def alone(investigate: Investigates[P, R]) -> Investigates[P, R]:
    """Wait while another question of the analyst on the incident is in work, or raise OverLimit."""

    @functools.wraps(investigate)
    async def one_at_a_time(
        desk: Desk, said: Said, ref: IncidentRef, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        name = f"asking/{said.analyst.tenant}/{said.analyst.id}/{ref.workspace}/{ref.id}"
        end = desk.clock.monotonic() + PATIENCE
        while not await desk.outbox.lease(name, said.id, desk.lease_time(), LONGEST):
            if desk.clock.monotonic() >= end:
                raise OverLimit(_IN_WORK, 30)
            await desk.clock.sleep(LOOK)
        try:
            return await investigate(desk, said, ref, *args, **kwargs)
        finally:
            with suppress(StoreError):  # it ends by itself
                await desk.outbox.let_go(said.id)

    return one_at_a_time
