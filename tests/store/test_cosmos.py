"""The Cosmos DB store over HTTP with Microsoft's SDK, against a double of our own, and against a
real account where `COSMOS_TEST_ENDPOINT` names one."""

import os
from collections.abc import AsyncIterator

import pytest

from bot.azure.cosmos import CosmosStore
from bot.azure.cosmos_containers import CONTAINERS
from bot.azure.cosmos_database import Database
from bot.ports import Store
from bot.ports.outgoing import Outbox
from tests.store.contract import KEEP, OpenStore, StoreContract
from tests.store.outbox_contract import OpenOutbox, OutboxContract

ACCOUNT = os.environ.get("COSMOS_TEST_ENDPOINT", "")


@pytest.fixture
def open_store(open_cosmos: OpenStore) -> OpenStore:
    return open_cosmos


@pytest.fixture
def open_outbox(open_store: OpenStore) -> OpenOutbox:
    async def open_outbox() -> Outbox:
        return (await open_store()).outbox

    return open_outbox


class TestCosmos(StoreContract):
    REPEATS, CLAIMS = 50, 40


class TestCosmosOutbox(OutboxContract):
    """Its outbox."""


# a real account


@pytest.mark.cosmos_account
@pytest.mark.skipif(not ACCOUNT, reason="COSMOS_TEST_ENDPOINT names no account")
@pytest.mark.timeout(600)
class OnAnAccount:
    """What is in the database `COSMOS_TEST_DATABASE` is deleted: name one that is for tests."""

    REPEATS, CLAIMS = 50, 40

    @pytest.fixture
    async def open_store(self) -> AsyncIterator[OpenStore]:
        where = (ACCOUNT, os.environ["COSMOS_TEST_DATABASE"], os.environ["COSMOS_TEST_KEY"])
        database = Database(*where)
        await database.open()
        for container in CONTAINERS:
            await database.delete_all(container, await database.find(container, ""))
        await database.close()
        opened: list[Store] = []

        async def open_store() -> Store:
            store = CosmosStore(*where, KEEP)
            opened.append(store)
            await store.open()
            return store

        yield open_store
        for store in opened:
            await store.close()


class TestAccount(OnAnAccount, StoreContract):
    """The contract on Azure."""


class TestAccountOutbox(OnAnAccount, OutboxContract):
    """Its outbox."""
