"""What a button would write on an incident, kept under an opaque id until someone clicks."""

from __future__ import annotations

import hashlib
import hmac
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from .incident import IncidentRef, called
from .query import WrittenQuery

# A fixed namespace makes the name of a write the same on every replica and after every restart.
_WRITES = uuid.UUID("b0a7a6c5-52b5-4d0a-9c3c-0d6f0f3c9f11")

LIFETIME = timedelta(days=7)

WriteKind = Literal["task", "comment"]
ProposalKind = Literal["answer", "tasks", "query", "playbook"]


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that can be put on the incident; `text` is the model's Markdown, untrusted.

    `kind` is what it becomes where the proposal is a playbook; of the others the button says it.
    """

    title: str
    text: str
    kind: WriteKind = "task"
    by_model: bool = True


@dataclass(frozen=True, slots=True)
class Provenance:
    """What an analyst must be able to see later: who asked, what answered, from what.

    `asked_by` is empty where nobody asked: what was prepared when the incident arrived.
    """

    asked_by: str
    question: str
    model: str
    prompt: str
    evidence: tuple[str, ...] = ()
    asked_by_id: str = ""


@dataclass(frozen=True, slots=True)
class Proposal:
    """The stored side of a card: the card itself carries only `id`.

    `message` is what was said above the card, so that the whole message can be edited later.
    `query` is there where the kind is `query`; its one item is what goes on the incident. A
    `playbook` has a comment, tasks, and last its query, each where there is one; it belongs to the
    incident and not to a chat, so its `tenant` and `conversation` are empty, and its buttons carry
    a seal of the room that they stand in, made with `secret`. `only_for` is the one analyst who may
    click, where the chat is theirs alone. `where` names the workspace where there are several.
    """

    id: str
    kind: ProposalKind
    tenant: str
    conversation: str
    incident: IncidentRef
    incident_number: int
    items: tuple[Item, ...]
    provenance: Provenance
    created: datetime
    message: Mapping[str, Any] = field(default_factory=dict[str, Any])
    query: WrittenQuery | None = None
    only_for: str = ""
    where: str = ""
    secret: str = field(default="", repr=False)

    @property
    def called(self) -> str:
        """What its incident is called in a sentence or a command."""
        return called(self.incident_number, self.where)

    def expired(self, now: datetime) -> bool:
        """Say whether a click comes too late."""
        return now - self.created > LIFETIME

    def button_id(self, tenant: str, conversation: str) -> str:
        """What this proposal's buttons carry in a conversation, and in no other.

        Nobody can work out a playbook's for a room where its card was not shown: the seal is an
        HMAC-SHA256, cut to 128 bits, under a secret that stays in the store.
        """
        if self.kind != "playbook":
            return self.id
        room = f"{tenant}\n{room_of(conversation)}".encode()
        seal = hmac.new(self.secret.encode(), room, hashlib.sha256).hexdigest()[:32]
        return f"{self.id}.{seal}"

    def shown_in(self, tenant: str, conversation: str) -> Proposal:
        """The same for a card: with the id that its buttons carry in this conversation."""
        return replace(self, id=self.button_id(tenant, conversation))

    @property
    def tasks(self) -> range:
        """Where a playbook's tasks stand among its items."""
        first = 1 if self.items and self.items[0].kind == "comment" else 0
        return range(first, len(self.items) - (self.query is not None))


@dataclass(frozen=True, slots=True)
class Write:
    """One click's effect: which item became what, by whom, and whether Sentinel has it."""

    proposal: str
    kind: WriteKind
    index: int
    by_id: str
    by_name: str
    at: datetime
    done: bool = False

    @property
    def guid(self) -> str:
        """The name it has in Sentinel: the same for every repeat of the click."""
        return write_id(self.proposal, self.kind, self.index)


def room_of(conversation: str) -> str:
    """The chat or channel without the thread: a client may leave the thread out."""
    return conversation.partition(";")[0]


def named_by(button: str) -> str:
    """The proposal that a button's id names, before its seal is looked at."""
    return button.rpartition(".")[0] or button


def playbook_id(incident: IncidentRef, *, several: bool = False) -> str:
    """Name what is prepared for an incident, so that preparing it twice is preparing it once.

    With several workspaces it is theirs apart: who may make an incident in one names it, and could
    give it the id of another's.
    """
    workspace = hashlib.sha256(incident.workspace.encode()).hexdigest()[:16] if several else ""
    return "-".join(filter(None, ["playbook", incident.id.lower(), workspace]))


def write_id(proposal: str, kind: WriteKind, index: int) -> str:
    """Name a write so that doing it twice is doing it once (Sentinel's PUT takes our GUID)."""
    return str(uuid.uuid5(_WRITES, f"{proposal}/{kind}/{index}"))


def written(writes: Sequence[Write], kind: WriteKind, index: int) -> Write | None:
    """Find the finished write of an item, if there is one."""
    for write in writes:
        if write.done and write.kind == kind and write.index == index:
            return write
    return None
