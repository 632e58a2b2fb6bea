"""What the audit says of a question, and of one that got no answer.

The text of a question is not in it, only its hash: what an analyst has forgotten is gone, while a
message that somebody still has can be held against the record. Whoever guesses a short question
can confirm the guess.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Concatenate, ParamSpec, TypeVar

from ..domain.incident import IncidentRef
from ..errors import CasemateError, StoreError
from ..ports import AuditItem, JsonObject, Said, Usage
from .desk import Desk

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")
_UseCase = Callable[Concatenate[Desk, Said, IncidentRef, P], Awaitable[T]]


def question_item(
    desk: Desk, said: Said, ref: IncidentRef, action: str, outcome: str, usage: Usage | None
) -> AuditItem:
    """The record of a question: who asked, what answered at which cost, and how it ended."""
    return AuditItem(
        at=desk.clock.now(),
        tenant=said.analyst.tenant,
        action=action,
        analyst_id=said.analyst.id,
        analyst_name=said.analyst.name,
        incident=ref,
        detail={
            "question_sha256": fingerprint(said.text),
            "outcome": outcome,
            "prompt": desk.prompts.taken,
            **cost(usage),
        },
    )


def cost(usage: Usage | None) -> JsonObject:
    """What an answer cost, as the audit keeps it; nothing where no model gave it."""
    return asdict(usage or Usage(""))


def fingerprint(text: str) -> str:
    """SHA-256 of a text that the audit does not keep."""
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


def accounted(action: str) -> Callable[[_UseCase[P, T]], _UseCase[P, T]]:
    """Record a question that ends without an answer, by the name of its error.

    `stopped` is the analyst's Stop, the end of a turn's time, or of this process.
    """

    def decorate(use_case: _UseCase[P, T]) -> _UseCase[P, T]:
        @functools.wraps(use_case)
        async def recording(
            desk: Desk, said: Said, ref: IncidentRef, *args: P.args, **kwargs: P.kwargs
        ) -> T:
            try:
                return await use_case(desk, said, ref, *args, **kwargs)
            except (CasemateError, asyncio.CancelledError) as error:
                outcome = type(error).__name__ if isinstance(error, CasemateError) else "stopped"
                item = question_item(desk, said, ref, action, outcome, None)
                try:
                    await desk.store.record(item)
                except StoreError as lost:
                    log.warning("a question's end is not recorded: %s", lost.sentence)
                raise

        return recording

    return decorate
