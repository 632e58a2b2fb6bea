"""What the use cases ask of the world, as Protocols; `app.py` wires the adapters behind them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from ..domain.incident import Alert, Comment, Entity, Incident, Mention, Task
from ..domain.people import Analyst, Place
from ..domain.proposal import Proposal
from ..domain.query import Catalogue, Checked, Rows
from ..domain.transcript import Message, Thread, Turn
from .audit import AuditItem as AuditItem
from .audit import Trail as Trail
from .store import Claim as Claim
from .store import Erased as Erased
from .store import Outcome as Outcome
from .store import Store as Store

JsonObject = dict[str, Any]
Changes = Mapping[str, Any] | Callable[[Incident], Mapping[str, Any]]


class Clock(Protocol):
    """Time, so that a test may hold it. `now` is aware and in UTC; `sleep` takes seconds."""

    def now(self) -> datetime: ...

    def monotonic(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...


# --- the model -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Usage:
    """What an answer cost, in tokens, and who gave it: the last thing a stream yields.

    `shields` names what the service itself found in the prompt: `jailbreak`, `indirect_attack`.
    """

    model: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    shields: tuple[str, ...] = ()
    reasoning_tokens: int = 0  # of the completion's: thought, not said

    @property
    def answer_tokens(self) -> int:
        """The answer's own size; 0 where the service did not say."""
        return max(0, self.completion_tokens - self.reasoning_tokens)


@dataclass(frozen=True, slots=True)
class Structured:
    """A structured answer: the JSON object asked for, its cost, and what other choices hold."""

    data: JsonObject
    usage: Usage
    more: tuple[JsonObject, ...] = ()


class ChatModel(Protocol):
    """A chat model by deployment; every failure is one of `errors.ModelError`."""

    @property
    def name(self) -> str: ...

    def stream(self, messages: Sequence[Message], *, limit: int) -> AsyncGenerator[str | Usage]:
        """Yield pieces of the answer as they come, then one `Usage`.

        `limit` caps the answer in tokens. Closing the iterator stops the model. Once a piece has
        come, the only failures are AnswerCut and AnswerFiltered: what came is part of the answer.
        """
        ...

    async def structured(
        self, messages: Sequence[Message], *, name: str, schema: Mapping[str, Any], limit: int
    ) -> Structured:
        """Ask for one JSON object of this JSON schema, once: more choices cost and say the same.

        A server that sends several choices all the same has the others' objects in `more`.
        """
        ...


# --- Sentinel ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class IncidentPage:
    """One page of a listing; `more` fetches the next one where it is not empty."""

    incidents: tuple[Incident, ...]
    more: str = ""


class Incidents(Protocol):
    """One workspace's incidents; every failure is one of `errors.SentinelError`."""

    async def get(self, incident_id: str) -> Incident: ...

    async def find(self, mention: Mention) -> Incident:
        """Resolve what a sentence named; raises IncidentNotFound."""
        ...

    async def list(
        self, *, filter: str = "", order: str = "", top: int = 50, more: str = ""
    ) -> IncidentPage:
        """List by OData filter and order, or go on with a page's `more`."""
        ...

    async def alerts(self, incident_id: str) -> tuple[Alert, ...]: ...

    async def entities(self, incident_id: str) -> tuple[Entity, ...]: ...

    async def comments(self, incident_id: str) -> tuple[Comment, ...]: ...

    async def tasks(self, incident_id: str) -> tuple[Task, ...]: ...

    async def add_comment(self, incident_id: str, comment_id: str, html: str) -> None:
        """Write a comment under our own GUID; the same GUID again changes nothing."""
        ...

    async def add_task(self, incident_id: str, task_id: str, title: str, html: str) -> None:
        """Write a task under our own GUID; the same GUID again changes nothing."""
        ...

    async def update(self, incident_id: str, changes: Changes) -> Incident:
        """Change these writable properties and keep every other one; nothing to change, no write.

        PUT replaces the incident, so this reads, merges, and writes with the etag it read; when
        somebody was faster it reads again, a bounded number of times (SentinelConflict). Changes
        may be worked out from the incident that was read, each time anew.
        """
        ...


# --- logs and queries ----------------------------------------------------------------------------


class Logs(Protocol):
    """One workspace's logs; every failure is one of `errors.LogsError`."""

    async def run(self, query: str, timespan: timedelta, *, rows: int) -> Rows:
        """Run a query over `timespan` up to now, capped at `rows`, with the server's own limit."""
        ...

    async def metadata(self) -> Catalogue:
        """Read the workspace's tables, columns and functions, and which tables hold data."""
        ...

    async def ping(self) -> None: ...


class Schema(Protocol):
    """The workspace's catalogue as it was last read, at hand without waiting."""

    @property
    def age(self) -> timedelta | None:
        """How old the catalogue is; None where there is none."""
        ...

    @property
    def stale(self) -> bool:
        """Say whether it is older than it should be, or not there at all."""
        ...

    def current(self) -> Catalogue | None: ...

    async def refresh(self) -> Catalogue:
        """Read it now. Raises LogsError; what there was stays."""
        ...


class KqlChecker(Protocol):
    """Binds a query against a catalogue with Microsoft's own language service."""

    async def check(self, query: str, catalogue: Catalogue) -> Checked | None:
        """Check a query; None where the language service is not there (say why with `ping`)."""
        ...

    async def ping(self) -> None: ...


# --- carrying answers ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Citation:
    """A source an answer names as `[position]`."""

    position: int
    name: str
    abstract: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """What is said in the end: safe Markdown text, cards, and whether a model wrote it.

    `waits` says that it only asks to sign in, on a card of Teams' own where that is possible: what
    was asked is taken up again after that.
    """

    text: str = ""
    cards: tuple[JsonObject, ...] = ()
    citations: tuple[Citation, ...] = ()
    by_model: bool = False
    waits: bool = False
    oauth_card: JsonObject | None = None


class Courier(Protocol):
    """Carries one answer to the place the question came from, at that place's pace."""

    async def working(self, text: str) -> None:
        """Say in one line what is being done, before any text of the answer."""
        ...

    def write(self, text: str) -> None:
        """Show the answer so far (the whole of it, each time); raises Stopped.

        Never waits: what the platform's pace does not allow is shown with the next update.
        """
        ...


# --- what is said, and what comes of it ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Said:
    """Something an analyst said: `id` names it for good, `text` is without the bot's own name."""

    id: str
    analyst: Analyst
    place: Place
    text: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Answered:
    """A reply and what it leaves behind; what it leaves is committed before the reply is sent."""

    reply: Reply
    thread: Thread | None = None
    turn: Turn | None = None
    proposal: Proposal | None = None
    audit: tuple[AuditItem, ...] = ()


@dataclass(frozen=True, slots=True)
class Clicked:
    """A press on a card's button. `data` comes from the client: nothing in it is to be believed.

    `id` names the press for good where it came as a message.
    """

    analyst: Analyst
    place: Place
    data: JsonObject
    at: datetime
    id: str = ""


@dataclass(frozen=True, slots=True)
class Clicking:
    """What a click does to the chat: the card in its new state, or something said anew.

    `message` is the whole message that carries the card, for those who did not click. `then` is
    what takes longer than a click may: it is answered like a question.
    """

    card: JsonObject | None = None
    message: Reply | None = None
    answered: Answered | None = None
    then: Callable[[Courier], Awaitable[Answered]] | None = None


Leave = Callable[[Place], Awaitable[None]]
Respond = Callable[[Said, Courier], Awaitable[Answered]]
Click = Callable[[Clicked], Awaitable[Clicking]]


@dataclass(frozen=True, slots=True)
class Unfurled:
    """What a pasted link becomes: a card with the title and the line that stand for it while the
    message is written (both safe), or a sentence; none of it where the link is not ours.
    """

    card: JsonObject | None = None
    title: str = ""
    line: str = ""
    sentence: str = ""


Unfurl = Callable[[Analyst, str], Awaitable[Unfurled]]
