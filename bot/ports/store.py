"""What Casemate remembers: claims, chats, proposals and their writes, in one store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from ..domain.incident import IncidentRef
from ..domain.proposal import Proposal, Write
from ..domain.transcript import Thread, Turn
from .audit import AuditItem, Trail


@dataclass(frozen=True, slots=True)
class Claim:
    """An activity that was accepted and is owed an answer.

    `key` names the activity for good, and its conversation with it; `body` is the activity as it
    came. `progress` survives a crash: what was already sent for it, and the finished reply once
    there is one. `attempts` counts how often work on it began.
    """

    key: str
    conversation: str
    body: dict[str, Any]
    accepted: datetime
    attempts: int = 0
    progress: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a turn leaves behind, committed as one: all of it or none."""

    claim: str
    progress: dict[str, Any]
    thread: Thread | None = None
    turn: Turn | None = None
    proposal: Proposal | None = None
    audit: tuple[AuditItem, ...] = ()


@dataclass(frozen=True, slots=True)
class Erased:
    """How much was deleted."""

    turns: int
    proposals: int = 0


class Store(Trail, Protocol):
    """What Casemate remembers. Every method is one transaction; failures are StoreError.

    Times are passed in, so that two replicas and a test agree on whose they are. Those for leases
    come from a clock that never jumps: no two replicas' clocks are compared, each watches the
    other's leases by its own.
    """

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def ping(self) -> None: ...

    # claims: accepted activities, worked on in order within a conversation

    async def accept(self, claim: Claim) -> bool:
        """Keep an activity; False when its key was accepted before."""
        ...

    async def take(
        self, conversation: str, owner: str, now: datetime, lease: timedelta
    ) -> Claim | None:
        """Lease the conversation's oldest unfinished claim to `owner`, counting an attempt.

        None when there is none, or when a lease on it still runs, as far as this store has seen.
        """
        ...

    async def renew(self, owner: str, now: datetime, lease: timedelta) -> tuple[str, ...]:
        """Extend all leases that `owner` still holds, and give the keys of their claims."""
        ...

    async def note(self, key: str, owner: str, progress: dict[str, Any]) -> bool:
        """Merge into a claim's progress; False when `owner` no longer holds it."""
        ...

    async def finish(
        self, key: str, owner: str, now: datetime, left: dict[str, Any] | None = None
    ) -> bool:
        """Mark a claim done; its body and progress go, and `left` stays until the sweep.

        `left["sent"]` holds the ids of the messages that answer it. False when `owner` no longer
        holds it.
        """
        ...

    async def sent_by(self, conversation: str, activity: str) -> dict[str, Any] | None:
        """What is left of the finished claim that this message answers, or None."""
        ...

    async def release(self, owner: str, key: str = "") -> None:
        """Hand back a claim, or every claim, that `owner` holds, so that any replica may go on."""
        ...

    async def waiting(self, now: datetime, lease: timedelta) -> tuple[str, ...]:
        """Conversations whose oldest unfinished claim nobody holds, or nobody renewed in time."""
        ...

    async def backlog(self) -> int:
        """Count unfinished claims."""
        ...

    async def oldest(self) -> datetime | None:
        """When the oldest unfinished claim was accepted."""
        ...

    # history

    async def commit(self, outcome: Outcome, owner: str) -> bool:
        """Keep a turn's outcome as one; False (and nothing kept) when the claim was lost."""
        ...

    async def turns(self, thread: Thread, limit: int) -> tuple[Turn, ...]:
        """The newest `limit` turns of a history, oldest first.

        Of their folds, those before the newest may be left out: it has them in it.
        """
        ...

    async def forget_thread(self, thread: Thread) -> Erased: ...

    async def forget_analyst(self, tenant: str, analyst: str) -> Erased:
        """Delete an analyst's histories, focus, proposals and shares; the audit stays."""
        ...

    # focus: which incident is meant

    async def set_focus(
        self, tenant: str, conversation: str, analyst: str, incident: IncidentRef, now: datetime
    ) -> None: ...

    async def focus(self, tenant: str, conversation: str, analyst: str) -> IncidentRef | None:
        """The analyst's own focus in this conversation, else the conversation's newest."""
        ...

    # proposals and what became of them

    async def keep_proposal(self, proposal: Proposal) -> None: ...

    async def proposal(self, proposal_id: str) -> Proposal | None: ...

    async def begin_write(self, write: Write, stale: datetime | None = None) -> Write:
        """Record the intention to write, once: whoever began first is who comes back.

        An unfinished intention from before `stale` came to nothing: the new one takes its place.
        """
        ...

    async def end_write(self, write: Write, audit: AuditItem) -> None:
        """Record that Sentinel has it, together with its audit item."""
        ...

    async def writes(self, proposal_id: str) -> tuple[Write, ...]: ...

    async def share(self, proposal: Proposal, shared: bool, now: datetime) -> bool:
        """Let the next shift see an answer, or no longer; False where that changes nothing."""
        ...

    async def is_shared(self, proposal_id: str) -> bool: ...

    async def shared(self, incident: IncidentRef) -> tuple[Proposal, ...]:
        """The newest 20 answers that their askers share, in the order of the sharing."""
        ...

    # documents

    async def keep(self, key: str, value: dict[str, Any], now: datetime) -> None:
        """Keep one document under a name, in place of the one before (a schema, a watermark)."""
        ...

    async def kept(self, key: str) -> dict[str, Any] | None: ...

    async def tally(
        self, keys: Sequence[str], period: str, amount: int, now: datetime
    ) -> tuple[int, ...]:
        """Add to the numbers kept under these names, as one, and give the sums, in their order.

        Each counts one period (periods sort); a new one begins at nothing. 0 only reads.
        """
        ...

    async def sweep(self, now: datetime, keep: timedelta) -> None:
        """Delete histories, finished claims and proposals older than `keep`.

        So are announcements, and documents that were not kept again, but none that are still news.
        """
        ...
