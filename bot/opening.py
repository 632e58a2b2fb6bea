"""Opens the services that the desk works with, as the settings say."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta

import aiohttp

import prompts
from prompts.playbook import playbook

from .azure.cosmos import CosmosStore
from .azure.credentials import MODEL_SCOPE, Tokens, arm_scope, logs_scope, store_scope
from .azure.log_analytics import LogAnalytics
from .azure.openai import AzureChatModel
from .azure.sentinel import Sentinel
from .desk.casefile import CaseFiles
from .desk.desk import Desk
from .domain import budget
from .health import Check
from .kusto.checker import Checker
from .kusto.schema import Schema
from .local.sqlite import SqliteStore
from .ports import Clock
from .serving import Starts
from .settings import Settings


@dataclass(frozen=True, slots=True)
class Opened:
    """A desk, what an operator may ask about its services, and what begins with the serving."""

    desk: Desk
    checks: Mapping[str, Check]
    starting: tuple[Starts, ...]


async def opened(
    settings: Settings,
    session: aiohttp.ClientSession,
    tokens: Mapping[str, Tokens],
    clock: Clock,
    parts: AsyncExitStack,
) -> Opened:
    """Open all of them; `parts` closes them. Raises CasemateError where one cannot be opened."""
    store = _store(settings, tokens)
    await store.open()
    parts.push_async_callback(store.close)
    key = settings.model_api_key or tokens.get(MODEL_SCOPE)
    model = AzureChatModel(settings.model_base_url, settings.model, key, clock)
    parts.push_async_callback(model.close)
    token = tokens.get(arm_scope(settings.arm_endpoint))
    sentinel = Sentinel(session, settings.workspace, settings.arm_endpoint, token, clock)
    endpoint = settings.log_analytics_endpoint
    token = tokens.get(logs_scope(endpoint))
    logs = LogAnalytics(session, settings.workspace, endpoint, token, clock)
    schema = Schema(logs, store, settings.workspace.name, clock)
    parts.push_async_callback(schema.close)
    checker = Checker(size=settings.kql_checkers)
    parts.push_async_callback(checker.close)
    desk = Desk(
        workspace=settings.workspace,
        incidents=sentinel,
        cases=CaseFiles(sentinel, clock),
        model=model,
        logs=logs,
        schema=schema,
        checker=checker,
        store=store,
        outbox=store.outbox,
        clock=clock,
        prompts=await asyncio.to_thread(prompts.load, settings.prompts_dir),
        playbook=await asyncio.to_thread(playbook, settings.prompts_dir),
        count=await asyncio.to_thread(budget.counter),
        prices=settings.model_prices,
    )
    checks: dict[str, Check] = {
        "store": store.ping,
        "model": model.ping,
        "sentinel": sentinel.ping,
        "logs": logs.ping,
        "kql_checker": checker.state,
    }
    return Opened(desk, checks, (schema, checker))


def _store(settings: Settings, tokens: Mapping[str, Tokens]) -> SqliteStore | CosmosStore:
    where = settings.store
    if where.path:
        return SqliteStore(where.path)
    key = where.key or tokens[store_scope(where.url)]
    return CosmosStore(where.url, where.database, key, timedelta(days=settings.history_days))
