from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest

from bot.azure.cosmos import CosmosStore
from bot.azure.cosmos_containers import CONTAINERS
from tests.cosmos_double import KEY, CosmosDouble

pytest.register_assert_rewrite("tests.store.contract", "tests.store.outbox_contract")

OpenCosmos = Callable[..., Awaitable[CosmosStore]]


@pytest.fixture
async def double() -> AsyncIterator[CosmosDouble]:
    async with CosmosDouble([each.resource for each in CONTAINERS]).running() as double:
        yield double


@pytest.fixture
async def open_cosmos(double: CosmosDouble) -> AsyncIterator[OpenCosmos]:
    opened: list[CosmosStore] = []

    async def open_store(**options) -> CosmosStore:
        account = {
            "url": double.url,
            "database": double.database,
            "key": KEY,
            "keep": timedelta(days=30),
        }
        store = CosmosStore(**{**account, **options})
        await store.open()
        opened.append(store)
        return store

    yield open_store
    for store in opened:
        await store.close()
