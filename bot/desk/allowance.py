"""Keeps analysts and tenants within their limits, and says when to ask again.

Requests are counted in this process: a replica more is an allowance more. Tokens are counted in the
store, for all replicas and over restarts, once an answer is there: what is under way when they run
out is finished.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ..domain.budget import Counter
from ..domain.limits import Limits
from ..domain.people import Analyst
from ..domain.transcript import Message
from ..errors import OverLimit, StoreError
from ..ports import ChatModel, Clock, Store, Structured, Usage

log = logging.getLogger(__name__)

MINUTE = 60.0
MOST_REMEMBERED = 5_000


class Allowance:
    """What is left to each analyst and tenant."""

    def __init__(self, limits: Limits, store: Store, clock: Clock, count: Counter) -> None:
        self._limits = limits
        self._store = store
        self._clock = clock
        self._count = count
        self._passed: dict[tuple[str, ...], deque[float]] = {}

    def request(self, analyst: Analyst) -> None:
        """Count one request. Raises OverLimit where the minute's are used up."""
        now, limits = self._clock.monotonic(), self._limits
        counted: list[deque[float]] = []
        for key, most, whose in (
            ((analyst.tenant, analyst.id), limits.analyst_requests, "You have"),
            ((analyst.tenant,), limits.tenant_requests, "Your organisation has"),
        ):
            if not most:
                continue
            passed = self._passed.setdefault(key, deque(maxlen=most))
            if len(passed) == most and (wait := passed[0] + MINUTE - now) > 0:
                seconds = math.ceil(wait)
                raise OverLimit(
                    f"{whose} asked {most:,} times within a minute, which is the most. "
                    f"Please try again in {_duration(seconds)}.",
                    seconds,
                )
            counted.append(passed)
        for passed in counted:
            passed.append(now)
        if len(self._passed) > MOST_REMEMBERED:
            idle = now - MINUTE
            self._passed = {k: d for k, d in self._passed.items() if d and d[-1] > idle}

    async def check(self, analyst: Analyst) -> None:
        """Raise OverLimit where the day's tokens are used up, and StoreError."""
        limits = self._limits
        if not limits.analyst_tokens and not limits.tenant_tokens:
            return
        own, all_of_them = await self._tally(analyst, 0)
        for spent, most, whose in (
            (own, limits.analyst_tokens, "Your"),
            (all_of_them, limits.tenant_tokens, "Your organisation's"),
        ):
            if most and spent >= most:
                seconds = _until_midnight(self._clock.now())
                raise OverLimit(
                    f"{whose} {most:,} tokens for today are used up. Please ask again after "
                    f"midnight UTC, in {_duration(seconds)}. What needs no model still works.",
                    seconds,
                )

    async def spend(self, analyst: Analyst, tokens: int) -> None:
        """Count what an answer cost; an answer that is there is not lost where that fails."""
        if not self._limits.analyst_tokens and not self._limits.tenant_tokens:
            return
        try:
            await self._tally(analyst, tokens)
        except StoreError as error:
            log.warning("%d tokens were not counted: %s", tokens, error.sentence)

    def tokens(self, messages: Sequence[Message], answer: str) -> int:
        """Estimate what an answer cost that broke off before it said so."""
        return sum(self._count(message.content) for message in messages) + self._count(answer)

    async def _tally(self, analyst: Analyst, tokens: int) -> tuple[int, ...]:
        now = self._clock.now()
        names = f"tokens/{analyst.tenant}/{analyst.id}", f"tokens/{analyst.tenant}"
        return await self._store.tally(names, f"{now:%Y-%m-%d}", tokens, now)


@dataclass(frozen=True, slots=True)
class Metered:
    """The model for one analyst: it answers within the allowance, and each answer is counted."""

    model: ChatModel
    allowance: Allowance
    analyst: Analyst

    @property
    def name(self) -> str:
        """The deployment's name."""
        return self.model.name

    async def stream(
        self, messages: Sequence[Message], *, limit: int
    ) -> AsyncGenerator[str | Usage]:
        """Stream as the model does. Raises OverLimit before anything is asked."""
        await self.allowance.check(self.analyst)
        answer, usage = "", None
        try:
            async with aclosing(self.model.stream(messages, limit=limit)) as pieces:
                async for piece in pieces:
                    if isinstance(piece, Usage):
                        usage = piece
                    else:
                        answer += piece
                    yield piece
        finally:
            if usage or answer:  # a Stop, too, has cost what was written by then
                cost = _cost(usage) if usage else self.allowance.tokens(messages, answer)
                await self.allowance.spend(self.analyst, cost)

    async def structured(
        self, messages: Sequence[Message], *, name: str, schema: Mapping[str, Any], limit: int
    ) -> Structured:
        """Answer as the model does. Raises OverLimit before anything is asked."""
        await self.allowance.check(self.analyst)
        answer = await self.model.structured(messages, name=name, schema=schema, limit=limit)
        await self.allowance.spend(self.analyst, _cost(answer.usage))
        return answer


def _cost(usage: Usage) -> int:
    return usage.prompt_tokens + usage.completion_tokens


def _until_midnight(now: datetime) -> int:
    midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return math.ceil((midnight - now).total_seconds())


def _duration(seconds: int) -> str:
    """A wait in words, never shorter than it is."""
    units = ((3600, "hour"), (60, "minute"), (1, "second"))
    size, unit = next(each for each in units if seconds >= each[0])
    number = math.ceil(seconds / size)
    return f"{number} {unit}{'s' * (number > 1)}"
