"""One Cosmos DB database through Microsoft's SDK: operations on items, bounded, with our errors.

What may happen to somebody who is not alone comes back as a value (it is there already, it is gone,
it changed); every other failure is a StoreError. Nothing here waits longer than a turn can.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from ..errors import StoreError
from ..ports import JsonObject
from .cosmos_calls import (
    CONFLICT,
    GONE,
    NOT_FOUND,
    OK,
    PRECONDITION_FAILED,
    STOPPING,
    call,
    client,
)
from .cosmos_containers import CONTAINERS, Container
from .cosmos_items import checked

if TYPE_CHECKING:
    from azure.cosmos.aio import ContainerProxy, CosmosClient

Key = list[str]
Operation = tuple[str, tuple[Any, ...]] | tuple[str, tuple[Any, ...], dict[str, Any]]

BUDGET_SECONDS = 6.0  # less than the lease on a claim: who is slower than that has lost it
BATCH = 100  # operations in one transaction (docs: transactional-batch)
_AT_ONCE = 32
_DEPLOY = "Deploy infra/cosmos.bicep, which makes it: Casemate itself has no right to."


class Database:
    """The containers of one database; `key` is an account key, or gives tokens of Entra ID."""

    def __init__(
        self,
        url: str,
        name: str,
        key: str | Callable[[], Awaitable[str]],
        budget: float = BUDGET_SECONDS,
    ) -> None:
        self._url = url
        self._name = name
        self._key = key
        self.budget = budget
        self._client: CosmosClient | None = None
        self._containers: dict[str, ContainerProxy] = {}
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def open(self) -> None:
        """Connect; raises StoreError where a container is missing or is not as it should be."""
        # Importing the SDK takes half a second.
        self._client = opened = await asyncio.to_thread(client, self._url, self._key)
        try:
            await self._run(opened.__aenter__)
            database = opened.get_database_client(self._name)
            for each in CONTAINERS:
                proxy = database.get_container_client(each.name)
                await self._check(each, proxy)
                self._containers[each.name] = proxy
        except BaseException:
            await self.close()
            raise

    async def _check(self, container: Container, proxy: ContainerProxy) -> None:
        where = f"container {container.name} of the Cosmos DB database {self._name}"
        status, is_there = await self._run(proxy.read, NOT_FOUND, GONE)
        if status is not OK:
            raise StoreError(f"The {where} is missing. {_DEPLOY}")
        paths = [f"/{key}" for key in container.keys]
        if is_there["partitionKey"]["paths"] != paths or is_there.get("defaultTtl") is None:
            raise StoreError(
                f"The {where} has another partition key, or no time to live. {_DEPLOY} A "
                "partition key cannot be changed later: name another COSMOS_DATABASE."
            )

    async def close(self) -> None:
        """Let go of the connections."""
        opened, self._client = self._client, None
        self._containers = {}
        if opened is not None:
            await opened.close()

    # --- one item ----------------------------------------------------------------------------

    async def create(self, container: Container, item: JsonObject) -> bool:
        """Add an item; False where one of its name is there."""
        checked(item)
        proxy = self._proxy(container)
        status, _ = await self._run(lambda: proxy.create_item(item, no_response=True), CONFLICT)
        return status is OK

    async def put(self, container: Container, item: JsonObject) -> None:
        """Add an item, or put it in the place of the one of its name."""
        checked(item)
        proxy = self._proxy(container)
        await self._run(lambda: proxy.upsert_item(item, no_response=True))

    async def read(self, container: Container, id: str, key: Key) -> JsonObject | None:
        """Read one item by its name, the cheapest thing there is."""
        proxy = self._proxy(container)
        _, item = await self._run(lambda: proxy.read_item(id, partition_key=key), NOT_FOUND)
        return item

    async def patch(
        self,
        container: Container,
        id: str,
        key: Key,
        values: Mapping[str, Any],
        *,
        plus_one: str = "",
        where: str = "",
    ) -> tuple[HTTPStatus, JsonObject]:
        """Set properties of one item by their paths, if it is as `where` says; all at once.

        The status is OK, with the item as it is now, NOT_FOUND or PRECONDITION_FAILED. The service
        takes ten changes at most (docs: partial-document-update).
        """
        changes = changes_of(values, plus_one)
        checked(changes)
        proxy = self._proxy(container)
        condition = f"FROM c WHERE {where}" if where else None
        return await self._run(
            lambda: proxy.patch_item(id, key, changes, filter_predicate=condition),
            NOT_FOUND,
            PRECONDITION_FAILED,
        )

    async def delete(self, container: Container, id: str, key: Key, etag: str = "") -> bool:
        """Delete one item; False where it is gone, or no longer as it was with this etag."""
        from azure.core import MatchConditions

        proxy = self._proxy(container)
        options: dict[str, Any] = {}
        if etag:
            options = {"etag": etag, "match_condition": MatchConditions.IfNotModified}
        status, _ = await self._run(
            lambda: proxy.delete_item(id, key, **options), NOT_FOUND, PRECONDITION_FAILED
        )
        return status is OK

    # --- several -----------------------------------------------------------------------------

    async def query(
        self, container: Container, text: str, key: Key | None = None, **values: Any
    ) -> list[JsonObject]:
        """Read what a query finds in one partition; in all of them without a key.

        The service's gateway answers a query over all partitions in one go only where it filters
        and projects: no ORDER BY, TOP or aggregate without a key.
        """
        proxy = self._proxy(container)
        parameters: list[dict[str, Any]] = [
            {"name": f"@{name}", "value": value} for name, value in values.items()
        ]

        async def read_all() -> list[JsonObject]:
            where: dict[str, Any] = {} if key is None else {"partition_key": key}
            return [item async for item in proxy.query_items(text, parameters=parameters, **where)]

        _, items = await self._run(read_all)
        return items

    async def find(
        self, container: Container, where: str, key: Key | None = None, **values: Any
    ) -> list[JsonObject]:
        """Find items as `delete_all` takes them."""
        names = dict.fromkeys(("id", *container.keys, "_etag"))
        select = ", ".join(f"c.{name}" for name in names)
        condition = f" WHERE {where}" if where else ""
        text = f"SELECT {select} FROM c{condition}"  # noqa: S608 - our own names
        return await self.query(container, text, key, **values)

    async def delete_all(
        self, container: Container, items: Sequence[JsonObject], *, as_read: bool = False
    ) -> int:
        """Delete what was found, or `as_read` only what has not changed since, and count it."""

        async def delete(item: JsonObject) -> bool:
            async with self._room:
                key = [item[name] for name in container.keys]
                etag = item["_etag"] if as_read else ""
                return await self.delete(container, item["id"], key, etag)

        return sum(await asyncio.gather(*map(delete, items)))

    async def batch(
        self, container: Container, key: Key, operations: Sequence[Operation]
    ) -> HTTPStatus:
        """Do up to `BATCH` operations in one partition, all or none.

        The status is OK, or that of the first that cannot be: CONFLICT, NOT_FOUND or
        PRECONDITION_FAILED.
        """
        checked([each[1:] for each in operations])
        proxy = self._proxy(container)
        status, _ = await self._run(
            lambda: proxy.execute_item_batch(operations, key),
            CONFLICT,
            NOT_FOUND,
            PRECONDITION_FAILED,
        )
        return status

    # --- every call --------------------------------------------------------------------------

    def _proxy(self, container: Container) -> ContainerProxy:
        try:
            return self._containers[container.name]
        except KeyError:
            raise StoreError(STOPPING) from None

    async def _run(
        self, work: Callable[[], Awaitable[Any]], *expected: HTTPStatus
    ) -> tuple[HTTPStatus, Any]:
        return await call(work, *expected, budget=self.budget)


def changes_of(values: Mapping[str, Any], plus_one: str = "") -> list[JsonObject]:
    """The operations of a patch that set these paths, and add one to another."""
    changes: list[JsonObject] = [
        {"op": "set", "path": path, "value": value} for path, value in values.items()
    ]
    if plus_one:
        changes.append({"op": "incr", "path": plus_one, "value": 1})
    return changes
