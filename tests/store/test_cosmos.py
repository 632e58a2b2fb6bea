from collections.abc import AsyncIterator

import pytest

from bot.azure.cosmos import CosmosStore
from bot.azure.cosmos_containers import CONTAINERS
from bot.ports import Store
from tests.cosmos_double import KEY, CosmosDouble
from tests.store.contract import KEEP, OpenStore, StoreContract
from tests.store.outbox_contract import OutboxContract


@pytest.fixture
async def double() -> AsyncIterator[CosmosDouble]:
    async with CosmosDouble([each.resource for each in CONTAINERS]).running() as double:
        yield double


@pytest.fixture
async def open_store(double: CosmosDouble) -> AsyncIterator[OpenStore]:
    opened: list[Store] = []

    async def open_store() -> Store:
        store = CosmosStore(double.url, double.database, KEY, KEEP)
        opened.append(store)
        await store.open()
        return store

    yield open_store
    for store in opened:
        await store.close()


class TestCosmos(StoreContract):
    """The contract, over HTTP with Microsoft's SDK."""

    REPEATS, CLAIMS = 50, 40


class TestCosmosOutbox(OutboxContract):
    """The outbox's contract, likewise."""
