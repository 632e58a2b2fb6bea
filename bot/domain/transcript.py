"""What one analyst and Casemate said to each other about one incident, and what the model sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from .incident import IncidentRef

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Thread:
    """The key of a history: one analyst of one tenant on one incident."""

    tenant: str
    analyst: str
    incident: IncidentRef


@dataclass(frozen=True, slots=True)
class Turn:
    """A question with its good answer; a failed turn never becomes one.

    `id` is the key of the activity that asked, so that a repeat cannot add a second turn.
    `tokens` is the size of question and answer together.
    """

    id: str
    question: str
    answer: str
    asked: datetime
    tokens: int
    model: str = ""
    prompt: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One message as chat completions take it."""

    role: Role
    content: str


def newest_that_fit(turns: Sequence[Turn], budget: int) -> tuple[Turn, ...]:
    """Keep the newest turns whose tokens fit; a question is never parted from its answer.

    `turns` are oldest first, and so is what comes back.
    """
    kept: list[Turn] = []
    for turn in reversed(turns):
        budget -= turn.tokens
        if budget < 0:
            break
        kept.append(turn)
    return tuple(reversed(kept))


def conversation(
    system: str, evidence: str, turns: Sequence[Turn], question: str
) -> tuple[Message, ...]:
    """Lay out a request to the model.

    The stable system text comes first (so that it is cached), then the evidence, the earlier
    turns as user and assistant, and the question last.
    """
    messages = [Message("system", system), Message("user", evidence)]
    for turn in turns:
        messages.append(Message("user", turn.question))
        messages.append(Message("assistant", turn.answer))
    messages.append(Message("user", question))
    return tuple(messages)
