"""Recalls what an analyst and Casemate said about an incident, in a size that does not grow.

The newest turns go to the model whole. When they no longer fit, the older half of them is folded
at once, rather than one turn with each question: until the next fold a request then begins like
the one before it, and the model's service reads that beginning from its cache.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from ..domain.budget import HISTORY_TOKENS
from ..domain.fold import folded
from ..domain.transcript import Fold, Thread, Turn, newest_that_fit
from .desk import Desk
from .record import done_between

MAX_TURNS = 40
WHOLE_TURNS = 30
# Read once, where a long history has no fold yet, or its fold was as old as may be kept.
_UNFOLDED_TURNS = 1_000


@dataclass(frozen=True, slots=True)
class Past:
    """The newest turns, oldest first, and what those before came to.

    `fresh` says that the fold was made now: it is kept with the turn that comes of this request.
    """

    turns: tuple[Turn, ...] = ()
    fold: Fold | None = None
    fresh: bool = False


NOTHING = Past()


async def recall(desk: Desk, thread: Thread) -> Past:
    """Read a history, and fold what is too much of it. Raises StoreError.

    The fold is made from what is kept and nothing else, so a turn that fails, or another replica,
    makes it again and finds the same.
    """
    turns = await desk.store.turns(thread, MAX_TURNS)
    fold = _newest_fold(turns)
    if len(turns) == MAX_TURNS and (fold is None or turns[0].asked > fold.last):
        turns = await desk.store.turns(thread, _UNFOLDED_TURNS)
        fold = _newest_fold(turns)
    unfolded = tuple(turn for turn in turns if fold is None or turn.asked > fold.last)
    whole = _whole(unfolded)
    older = unfolded[: len(unfolded) - len(whole)]
    if not older:
        return Past(whole, fold)
    since = fold.last if fold else older[0].asked
    done = await done_between(desk, thread, since, older[-1].asked)
    return Past(whole, await asyncio.to_thread(folded, fold, older, done), fresh=True)


def _newest_fold(turns: Sequence[Turn]) -> Fold | None:
    folds = [turn.fold for turn in turns if turn.fold]
    return max(folds, key=lambda fold: fold.last, default=None)


def _whole(turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
    """All, while they fit; else the newest that leave room for the turns to come."""
    if len(turns) <= WHOLE_TURNS and newest_that_fit(turns, HISTORY_TOKENS) == turns:
        return turns
    kept = newest_that_fit(turns[-WHOLE_TURNS // 2 :], HISTORY_TOKENS * 2 // 3)
    return kept or newest_that_fit(turns[-1:], HISTORY_TOKENS)
