"""Opens the services that the desk works with, as the settings say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import aiohttp

import prompts
from prompts.playbook import playbook

from .azure.cosmos import CosmosStore
from .azure.credentials import (
    CONNECTOR_SCOPE,
    MODEL_SCOPE,
    arm_scope,
    logs_scope,
    store_scope,
    tokens_for,
)
from .azure.log_analytics import LogAnalytics, arm_query_url
from .azure.openai import AzureChatModel
from .azure.sentinel import Sentinel
from .clock import SystemClock
from .desk.allowance import Allowance
from .desk.casefile import CaseFiles
from .desk.desk import Desk
from .desk.rights import Access, Rights
from .domain import budget
from .domain.endpoint import is_loopback, takes_token
from .domain.incident import Workspace
from .domain.lease import steady
from .domain.store_address import StoreAddress
from .errors import StoreError
from .health import Check
from .kusto.checker import Checker
from .kusto.schema import Schema
from .local.sqlite import SqliteStore
from .ports import Clock, Store, Trail
from .serving import Opens, Starts
from .settings import Settings, from_process
from .teams.analyst_tokens import AnalystTokens
from .teams.token_service import TokenService
from .telemetry import NO_TELEMETRY, Telemetry
from .tokens import Tokens

# How many case files are kept for each analyst where each has their own.
_CASES_EACH = 16


@dataclass(frozen=True, slots=True)
class Opened:
    """A desk, what an operator may ask about its services, and what begins with the serving.

    `later` is done once there is time for it, or when it is first needed.
    """

    desk: Desk
    checks: Mapping[str, Check]
    starting: tuple[Starts, ...]
    later: tuple[Opens, ...]
    sign_ins: AnalystTokens | None


async def opened(
    settings: Settings,
    session: aiohttp.ClientSession,
    tokens: Mapping[str, Tokens],
    clock: Clock,
    parts: AsyncExitStack,
    told: Telemetry = NO_TELEMETRY,
) -> Opened:
    """Open all of them; `parts` closes them. Raises CasemateError where one cannot be opened."""
    store = _store(settings.store, settings.history_days, tokens)
    await store.open()
    parts.push_async_callback(store.close)
    key = settings.model_api_key or tokens.get(MODEL_SCOPE)
    model = AzureChatModel(settings.model_base_url, settings.model, key, clock)
    parts.push_async_callback(model.close)
    reached = [
        _reached(settings, each, session, tokens, store, clock, told)
        for each in settings.workspaces
    ]
    for each in reached:
        parts.push_async_callback(each.schema.close)
    first = reached[0].access
    checker = Checker(size=settings.kql_checkers)
    parts.push_async_callback(checker.close)
    told.look_after(store, store.outbox, clock, parts)
    count = await asyncio.to_thread(budget.counter)
    sign_ins = analysts(settings, session, tokens, clock)
    desk = Desk(
        workspace=first.workspace,
        incidents=first.incidents,
        cases=first.cases,
        model=told.model(model, settings.model_prices),
        logs=first.logs,
        schema=first.schema,
        checker=checker,
        store=told.port(store, "store"),
        outbox=told.port(store.outbox, "outbox"),
        clock=clock,
        lease_time=steady(clock.now, clock.monotonic),
        prompts=await asyncio.to_thread(prompts.load, settings.prompts_dir),
        playbook=await asyncio.to_thread(playbook, settings.prompts_dir),
        count=count,
        allowance=Allowance(settings.limits, store, clock, count),
        prices=settings.model_prices,
        rights=sign_ins and rights(settings, sign_ins, reached, clock, told),
        workspaces={each.access.workspace.name: each.access for each in reached},
    )
    checks: dict[str, Check] = {"store": store.ping, "model": model.ping}
    for each in reached:
        workspace = each.access.workspace
        of = f":{workspace.name}" if workspace.several else ""
        checks |= {f"sentinel{of}": each.sentinel.ping, f"logs{of}": each.logs.ping}
    checks["kql_checker"] = checker.state
    starting = (*(each.schema for each in reached), checker)
    return Opened(desk, checks, starting, (model.open,), sign_ins)


@dataclass(frozen=True, slots=True)
class Reached:
    """A workspace's services as the bot itself reaches them; `access` is the desk's way to them."""

    sentinel: Sentinel
    logs: LogAnalytics
    schema: Schema
    access: Access


def _reached(
    settings: Settings,
    workspace: Workspace,
    session: aiohttp.ClientSession,
    tokens: Mapping[str, Tokens],
    store: Store,
    clock: Clock,
    told: Telemetry,
) -> Reached:
    arm, endpoint = settings.arm_endpoint, settings.log_analytics_endpoint
    sentinel = Sentinel(session, workspace, arm, tokens.get(arm_scope(arm)), clock)
    logs = LogAnalytics(session, workspace, endpoint, tokens.get(logs_scope(endpoint)), clock)
    schema = Schema(logs, store, workspace.name, clock)
    incidents = told.port(sentinel, "sentinel")
    cases = CaseFiles(incidents, clock)
    access = Access(workspace, incidents, cases, told.port(logs, "logs"), schema)
    return Reached(sentinel, logs, schema, access)


def _store(
    where: StoreAddress, days: int, tokens: Mapping[str, Tokens]
) -> SqliteStore | CosmosStore:
    if where.path:
        return SqliteStore(where.path)
    key = where.key or tokens[store_scope(where.url)]
    return CosmosStore(where.url, where.database, key, timedelta(days=days))


@asynccontextmanager
async def trail(file: str) -> AsyncGenerator[Trail]:
    """Open the audit of a SQLite file, or else of the store that this process's settings name.

    Raises CasemateError; a file that is not there is not made.
    """
    async with AsyncExitStack() as parts:
        where, days, tokens = StoreAddress(path=file), 0, dict[str, Tokens]()
        if not file:
            settings = await asyncio.to_thread(from_process)
            where, days = settings.store, settings.history_days
            if where.url and not where.key:
                session = await parts.enter_async_context(aiohttp.ClientSession())
                tokens = await tokens_for(settings, session, SystemClock(), parts)
        path = where.path
        if path and not await asyncio.to_thread(Path(path).is_file):
            raise StoreError(f"There is no database {path}. Name one with --file or STORE_URL.")
        store = _store(where, days, tokens)
        await store.open()
        parts.push_async_callback(store.close)
        yield store


def analysts(
    settings: Settings,
    session: aiohttp.ClientSession,
    tokens: Mapping[str, Tokens],
    clock: Clock,
) -> AnalystTokens | None:
    """Analysts' own sign-ins where those decide in Azure; the bot's token goes with each request.

    A token service on loopback gets one from an authority on loopback only, which is not Entra ID.
    """
    if settings.write_as != "analyst":
        return None
    url = settings.token_service
    may_have = takes_token(url) or is_loopback(settings.entra_authority)
    token = tokens.get(CONNECTOR_SCOPE) if may_have else None
    service = TokenService(
        session, clock, url, settings.oauth_connection, token, settings.bot_app_id
    )
    return AnalystTokens(service, clock)


def rights(
    settings: Settings,
    sign_ins: AnalystTokens,
    reached: Sequence[Reached],
    clock: Clock,
    told: Telemetry = NO_TELEMETRY,
) -> Rights:
    """The workspaces with each analyst's own rights: their queries go by Azure Resource Manager.

    A Log Analytics on plain http takes no tokens of its own, and is asked directly.
    """
    by_arm = takes_token(settings.log_analytics_endpoint)

    def access(each: Reached, token: Callable[[], Awaitable[str]]) -> Access:
        url = arm_query_url(settings.arm_endpoint, each.access.workspace) if by_arm else ""
        incidents = told.port(each.sentinel.of(token), "sentinel")
        logs = told.port(each.logs.of(token, url), "logs")
        cases = CaseFiles(incidents, clock, _CASES_EACH)
        return replace(each.access, incidents=incidents, cases=cases, logs=logs)

    return Rights(
        sign_ins,
        lambda token: {each.access.workspace.name: access(each, token) for each in reached},
    )
