"""The room a case is held in: production's desk, the sandbox's incidents and logs, any model.

Only Teams is missing: what is said goes to the dialogs, and what they leave behind into a store,
as a turn does it.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import aiohttp
from aiohttp import web

from bot.azure.credentials import tokens_for
from bot.clock import SystemClock
from bot.desk.desk import Desk
from bot.desk.run import run_query
from bot.domain.people import Analyst, Place
from bot.domain.proposal import Proposal
from bot.domain.rows import as_lines
from bot.domain.transcript import Thread, Turn
from bot.errors import CasemateError
from bot.opening import opened
from bot.ports import Answered, Claim, Clicked, Outcome, Reply, Said
from bot.settings import Settings, overlaid
from dialogs import responder
from evals.case import Case, CaseError
from evals.judge import Given, failures
from sandbox.cases import from_yaml, incident_name
from sandbox.run import add_services, model_address, workspace
from sandbox.world import World, load

# The sandbox's times lie before this moment, so that a case can name them.
MORNING = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
_TENANT, _OWNER, _LEASE = "evals", "evals", timedelta(hours=1)
_ROWS_CHARS = 40_000
_NOT_OURS = "The sandbox cannot run"


class _Clock(SystemClock):
    """A clock that goes, from that morning on."""

    def __init__(self) -> None:
        self._ahead = MORNING - datetime.now(UTC)

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead


class _Quiet:
    """Carries an answer to nobody: only its end is judged."""

    async def working(self, text: str) -> None:
        pass

    def write(self, text: str) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Result:
    """How one case went; `prompts` is the hashes of what was asked with, by their names."""

    case: str
    model: str
    prompts: Mapping[str, str]
    failures: tuple[str, ...]
    notes: tuple[str, ...]
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    seconds: float
    text: str
    query: str = ""

    @property
    def passed(self) -> bool:
        """Nothing of the case was failed."""
        return not self.failures


@dataclass(frozen=True, slots=True)
class Room:
    """A desk at which cases are held; they may be held at the same time."""

    desk: Desk
    repeats: Iterator[int]
    by_rules: bool  # the sandbox's model answers

    async def hold(self, case: Case) -> Result:
        """Say what the case says, and judge what comes back. Raises StoreError."""
        name = f"{case.name}-{next(self.repeats)}"
        analyst = Analyst(_TENANT, name, "Eva Eval")
        place = Place(_TENANT, name, "personal", "https://smba.trafficmanager.net/emea/")
        thread = Thread(_TENANT, name, self.desk.ref(incident_name(case.incident)))
        now = self.desk.clock.now()
        await self.desk.store.set_focus(_TENANT, name, name, thread.incident, now)
        for n, (question, answer) in enumerate(case.earlier):
            asked = now - timedelta(minutes=len(case.earlier) - n)
            tokens = self.desk.count(question) + self.desk.count(answer)
            turn = Turn(f"{name}-{n}", question, answer, asked, tokens)
            await self._leave(place, turn.id, Answered(Reply(), thread=thread, turn=turn))
        said = Said(name, analyst, place, case.say, now)
        started = time.monotonic()
        try:
            answered = await responder(self.desk)(said, _Quiet())
        except CasemateError as error:
            answered = Answered(Reply(error.sentence))
        seconds = time.monotonic() - started
        await self._leave(place, name, answered)
        given = await self._given(said, answered, run=bool(case.query and case.query.finds))
        return self._result(case, answered, given, seconds)

    async def _leave(self, place: Place, key: str, answered: Answered) -> None:
        """Commit what a turn leaves behind, as production does before it replies."""
        store, now, at = self.desk.store, self.desk.clock.now(), place.conversation
        await store.accept(Claim(key, at, {}, now))
        await store.take(at, _OWNER, now, _LEASE)
        left = (answered.thread, answered.turn, answered.proposal, answered.audit)
        await store.commit(Outcome(key, {}, *left), _OWNER)
        await store.finish(key, _OWNER, now)

    async def _given(self, said: Said, answered: Answered, *, run: bool) -> Given:
        reply, proposal = answered.reply, answered.proposal
        given = Given(
            parts=_words(proposal) if proposal else (reply.text,),
            by_model=reply.by_model,
            said=" ".join(filter(None, [reply.text, *_noted(proposal)])),
            cited=tuple(each.name for each in reply.citations),
            evidence=len(proposal.provenance.evidence) if proposal else 0,
            query=proposal.query if proposal else None,
        )
        if (query := given.query) is None or proposal is None:
            return given
        if query.tables is None:
            given = replace(given, notes=("the query was not checked: npm ci in bot/kusto",))
        if not run or query.refused:
            return given
        button = proposal.button_id(_TENANT, said.place.conversation)
        clicked = Clicked(said.analyst, said.place, {}, self.desk.clock.now())
        ran = await run_query(self.desk, clicked, button, _Quiet())
        if ran.rows is not None:
            return replace(given, rows=as_lines(ran.rows, _ROWS_CHARS))
        if _NOT_OURS in ran.problem:
            return replace(given, notes=(*given.notes, f"not run: {ran.problem}"))
        return replace(given, rows="", notes=(*given.notes, ran.problem))

    def _result(self, case: Case, answered: Answered, given: Given, seconds: float) -> Result:
        item = answered.audit[0] if answered.audit else None
        detail = item.detail if item else {}
        names = {each.hash: each.name for each in self.desk.prompts}
        hashes = str(detail.get("prompt", "")).split("+")
        return Result(
            case=case.name,
            model=str(detail.get("model") or self.desk.model.name),
            prompts={names[hash]: hash for hash in hashes if hash in names},
            failures=failures(case, given),
            notes=given.notes,
            prompt_tokens=int(detail.get("prompt_tokens", 0)),
            completion_tokens=int(detail.get("completion_tokens", 0)),
            cached_tokens=int(detail.get("cached_tokens", 0)),
            seconds=seconds,
            text=given.text if given.by_model else given.said,
            query=given.query.kql if given.query else "",
        )


def _words(proposal: Proposal) -> tuple[str, ...]:
    """The model's own words: without the title of an answer, which holds the question."""
    if proposal.query:
        return (proposal.query.explanation, *proposal.query.assumptions)
    if proposal.kind == "tasks":
        return tuple(part for each in proposal.items for part in (each.title, each.text))
    return tuple(each.text for each in proposal.items)


def _noted(proposal: Proposal | None) -> tuple[str, ...]:
    return (str(proposal.message.get("note", "")),) if proposal else ()


@asynccontextmanager
async def opened_room(
    configured: Callable[[str, str], Settings], cases: Sequence[Case] = ()
) -> AsyncGenerator[Room]:
    """Serve the sandbox, with the cases' own incidents, and open a desk on it.

    `configured` makes the settings from the sandbox's address and a store's.
    Raises SettingsError, CaseError, and CasemateError where a service cannot be opened.
    """
    clock = _Clock()
    async with AsyncExitStack() as parts:
        world = await asyncio.to_thread(load, MORNING, None, clock.now)
        app = web.Application()
        await asyncio.to_thread(add_services, app, world, pace=0)
        for case in cases:
            add(world, case)  # the sandbox's logs tell its own incidents only
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        parts.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        folder = parts.enter_context(tempfile.TemporaryDirectory())
        settings = configured(base, f"sqlite:///{folder}/evals.db")
        session = await parts.enter_async_context(aiohttp.ClientSession())
        # A token's time is Entra's, not the sandbox's.
        tokens = await tokens_for(settings, session, SystemClock(), parts)
        desk = (await opened(settings, session, tokens, clock, parts)).desk
        await desk.schema.refresh()
        if any(case.query for case in cases):
            with suppress(CasemateError):  # each query then says that it was not checked
                await desk.checker.ping()
        by_rules = settings.model_base_url.startswith(base)
        yield Room(desk, itertools.count(1), by_rules)


def from_environment(base: str, store: str) -> Settings:
    """The sandbox at `base`; model and prompts as the environment says, else the sandbox's.

    Raises SettingsError.
    """
    return overlaid({**workspace(base), "STORE_URL": store}, usual=model_address(base))


async def evaluate(
    cases: Sequence[Case],
    configured: Callable[[str, str], Settings] = from_environment,
    *,
    times: int = 1,
    at_once: int = 4,
) -> tuple[Result, ...]:
    """Hold each case `times` times, `at_once` side by side; in the order of the cases.

    Raises CaseError, and CasemateError where a service cannot be opened.
    """
    turns = asyncio.Semaphore(at_once)
    async with opened_room(configured, cases) as room:

        async def held(case: Case) -> Result:
            async with turns:
                return await room.hold(case)

        fit = [case for case in cases if not (room.by_rules and case.needs_model)]
        return tuple(await asyncio.gather(*(held(case) for case in fit for _ in range(times))))


def add(world: World, case: Case) -> None:
    """Put a case's own incident beside the sandbox's. Raises CaseError, also where it has none."""
    there = world.by_number(case.incident)
    if case.own is None and there is None:
        raise CaseError(f"{case.name}: the sandbox has no incident {case.incident}")
    if case.own is None:
        return
    if there:
        raise CaseError(f"{case.name}: the sandbox has an incident {case.incident} already")
    try:
        made = from_yaml(case.own, MORNING, world.etag)
    except (KeyError, TypeError, AttributeError) as error:
        raise CaseError(f"{case.name}: incident.yaml lacks or misuses {error}") from error
    world.cases[made.name] = made
