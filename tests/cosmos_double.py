"""Azure Cosmos DB over HTTP, as far as the store uses it and stricter than it where that finds
mistakes. Written from Microsoft's REST reference and tried with Microsoft's own SDK; it proves
nothing about Azure itself.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from .cosmos_query import Item, Unsupported, condition, query

KEY = base64.b64encode(b"the key of an account that is none").decode()
LARGEST = 2 * 1024 * 1024
_FORBIDDEN_IN_IDS = set("/\\?#")

# docs: understand-request-unit-consumption (session consistency, no indexed property), by KB.
_CHARGES = (
    (1, 1.0, 4.95), (2, 1.04, 6.29), (4, 1.14, 6.67), (8, 1.33, 7.04), (16, 1.67, 9.52),
    (32, 2.19, 11.23), (64, 4.76, 22.67), (128, 9.95, 48.19), (256, 20.28, 98.29),
    (512, 40.95, 184.57), (1024, 145.9, 625.0), (2048, 291.8, 1250.0),
)  # fmt: skip
QUERY_CHARGE = 2.8  # a query's own part: what one that finds nothing costs, as the portal shows it


class Refused(Exception):
    def __init__(self, status: int, substatus: int = 0) -> None:
        super().__init__(status, substatus)
        self.status = status
        self.substatus = substatus


def charge(item: Item, *, write: bool) -> float:
    """Request units by size; between two sizes of the table the larger one counts."""
    kilobytes = len(json.dumps(item, ensure_ascii=False).encode()) / 1024
    for size, read, written in _CHARGES:
        if kilobytes <= size:
            return written if write else read
    raise AssertionError("too large")


@dataclass
class Collection:
    definition: dict[str, Any]
    items: dict[tuple[tuple[Any, ...], str], Item] = field(default_factory=dict)

    @property
    def keys(self) -> list[str]:
        return [path.strip("/") for path in self.definition["partitionKey"]["paths"]]

    @property
    def indexed(self) -> list[str]:
        paths = self.definition["indexingPolicy"]["includedPaths"]
        return [each["path"].split("/")[1] for each in paths]


class CosmosDouble:
    """One account with one database; `now` is its clock, in seconds.

    `faults` sees each request to items and may answer in the place of the account. `calls` counts
    operations, `charged` adds up their request units, `partitions` holds what they touched.
    """

    def __init__(self, containers: list[dict[str, Any]], database: str = "casemate") -> None:
        self.database = database
        self.collections = {each["id"]: Collection(each) for each in containers}
        self.url = ""
        self.now = 1_795_510_800
        self.tokens: set[str] = set()
        self.faults: Callable[[str, web.Request], web.Response | None] = lambda *_: None
        self.calls: Counter[str] = Counter()
        self.charged: Counter[str] = Counter()
        self.partitions: list[tuple[str, str | None]] = []
        self._version = 0

    def item(self, container: str, partition: str, id: str) -> Item:
        """An item as it is kept, to be looked at or spoiled."""
        return self.collections[container].items[(partition,), id]

    @asynccontextmanager
    async def running(self, *middlewares: Any) -> AsyncIterator[CosmosDouble]:
        app = web.Application(client_max_size=8 * LARGEST, middlewares=middlewares)
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        try:
            self._authenticate(request)
            match [unquote(each) for each in request.raw_path.strip("/").split("/") if each]:
                case []:
                    return web.json_response(self._account())
                case ["dbs", self.database, "colls", name, *rest]:
                    return await self._collection(request, name, rest)
            raise Refused(404, 1003)
        except Unsupported as error:
            return web.json_response({"code": "BadRequest", "message": str(error)}, status=400)
        except Refused as error:
            headers = {"x-ms-substatus": str(error.substatus)} if error.substatus else {}
            return web.json_response(
                {"code": "", "message": "no"}, status=error.status, headers=headers
            )

    def _account(self) -> dict[str, Any]:
        here = [{"name": "Here", "databaseAccountEndpoint": self.url}]
        return {
            "writableLocations": here,
            "readableLocations": here,
            "enableMultipleWriteLocations": False,
            "userConsistencyPolicy": {"defaultConsistencyLevel": "Session"},
        }

    def _authenticate(self, request: web.Request) -> None:
        parts = dict(
            each.split("=", 1) for each in unquote(request.headers["Authorization"]).split("&")
        )
        if parts["type"] == "aad":
            if parts["sig"] not in self.tokens:
                raise Refused(401)
            return
        names = [unquote(each) for each in request.raw_path.strip("/").split("/") if each]
        feed = len(names) % 2
        kind, link = (names[-1] if feed else "".join(names[-2:-1])), names[: len(names) - feed]
        date = request.headers["x-ms-date"].lower()
        text = f"{request.method.lower()}\n{kind}\n{'/'.join(link)}\n{date}\n\n"
        signed = hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()
        if base64.b64encode(signed).decode() != parts["sig"]:
            raise Refused(401)

    async def _collection(
        self, request: web.Request, name: str, rest: list[str]
    ) -> web.StreamResponse:
        if (collection := self.collections.get(name)) is None:
            raise Refused(404, 1003 if rest else 0)
        match request.method, rest:
            case "GET", []:
                return web.json_response({**collection.definition, "_rid": f"rid-{name}"})
            case "GET", ["docs", id]:
                return self._item(request, "read", collection, id, None)
            case "POST", ["docs"]:
                body = json.loads(await request.read())
                if request.headers.get("x-ms-documentdb-isquery") == "true":
                    return self._query(request, collection, body)
                if request.headers.get("x-ms-cosmos-is-batch-request") == "True":
                    return self._batch(request, collection, body)
                upsert = request.headers.get("x-ms-documentdb-is-upsert") == "True"
                kind = "upsert" if upsert else "create"
                return self._item(request, kind, collection, body["id"], body)
            case (("PUT" | "PATCH" | "DELETE"), ["docs", id]):
                kind = {"PUT": "replace", "PATCH": "patch", "DELETE": "delete"}[request.method]
                text = await request.read()
                return self._item(request, kind, collection, id, json.loads(text or "null"))
        # Data-plane roles cannot make or change containers.
        raise Refused(403)

    # --- requests ----------------------------------------------------------------------------

    def _item(
        self, request: web.Request, kind: str, collection: Collection, id: str, body: Any
    ) -> web.StreamResponse:
        key = self._partition(request, collection)
        if (fault := self._counted(request, kind, collection, key)) is not None:
            return fault
        item, units = self._do(
            kind, collection, key, id, body, request.headers.get("If-Match"),
        )  # fmt: skip
        minimal = request.headers.get("Prefer") == "return=minimal"
        status = {"create": 201, "delete": 204}.get(kind, 200)
        self._charge(collection, kind, units)
        headers = {"x-ms-request-charge": str(units), "etag": item["_etag"] if item else ""}
        if minimal or item is None:
            return web.Response(status=status, headers=headers)
        return web.json_response(item, status=status, headers=headers)

    def _batch(
        self, request: web.Request, collection: Collection, steps: list[dict[str, Any]]
    ) -> web.StreamResponse:
        key = self._partition(request, collection)
        if (fault := self._counted(request, "batch", collection, key)) is not None:
            return fault
        if request.headers.get("x-ms-cosmos-batch-atomic") != "True" or len(steps) > 100:
            raise Refused(400)
        before, answers = dict(collection.items), []
        for at, step in enumerate(steps):
            kind, body = step["operationType"].lower(), step.get("resourceBody")
            id = step["id"] if "id" in step else body["id"]
            try:
                item, units = self._do(kind, collection, key, id, body, step.get("ifMatch"))
            except Refused as error:
                collection.items = before
                failed = [{"statusCode": 424}] * len(steps)
                failed[at] = {"statusCode": error.status}
                return web.json_response(failed, status=207)
            self._charge(collection, f"batched {kind}", units)
            answers.append({"statusCode": 200, "resourceBody": item, "requestCharge": units})
        return web.json_response(answers)

    def _query(
        self, request: web.Request, collection: Collection, body: dict[str, Any]
    ) -> web.StreamResponse:
        one = "x-ms-documentdb-partitionkey" in request.headers
        key = self._partition(request, collection) if one else None
        if not one and request.headers.get("x-ms-documentdb-query-enablecrosspartition") != "True":
            raise Refused(400, 1004)
        if (fault := self._counted(request, "query", collection, key)) is not None:
            return fault
        values = {each["name"]: each["value"] for each in body["parameters"]}
        asked = query(body["query"], values, collection.indexed, one)
        found = asked.of(item for at, item in self._live(collection) if key in (None, at))
        units = QUERY_CHARGE + sum(charge(item, write=False) for item in found)
        self._charge(collection, "query" if one else "query over all", units)
        # A page at a time, so that whoever reads goes on to the next.
        start = int(request.headers.get("x-ms-continuation", "0"))
        page, more = found[start : start + 100], start + 100 < len(found)
        headers = {"x-ms-request-charge": str(units)}
        headers |= {"x-ms-continuation": str(start + 100)} if more else {}
        answer = {"_rid": "", "Documents": page, "_count": len(page)}
        return web.json_response(answer, headers=headers)

    # --- items -------------------------------------------------------------------------------

    def _partition(self, request: web.Request, collection: Collection) -> tuple[Any, ...]:
        key = tuple(json.loads(request.headers["x-ms-documentdb-partitionkey"]))
        sized = all(isinstance(each, str) and len(each.encode()) <= 2048 for each in key)
        if len(key) != len(collection.keys) or not sized:
            raise Refused(400, 1001)
        return key

    def _live(self, collection: Collection) -> Iterator[tuple[tuple[Any, ...], Item]]:
        for key, id in list(collection.items):
            if (item := self._alive(collection, key, id)) is not None:
                yield key, item

    def _alive(self, collection: Collection, key: tuple[Any, ...], id: str) -> Item | None:
        item = collection.items.get((key, id))
        if item is not None and 0 < item.get("ttl", -1) <= self.now - item["_ts"]:
            del collection.items[key, id]
            return None
        return item

    def _do(
        self,
        kind: str,
        collection: Collection,
        key: tuple[Any, ...],
        id: str,
        body: Any,
        etag: str | None,
    ) -> tuple[Item | None, float]:
        """One operation on one item; the item as it is then, and the request units."""
        there = self._alive(collection, key, id)
        if kind == "create" and there is not None:
            raise Refused(409)
        if kind in ("read", "replace", "patch", "delete") and there is None:
            raise Refused(404)
        if etag is not None and there is not None and there["_etag"] != etag:
            raise Refused(412)
        if kind == "read":
            return there, charge(there or {}, write=False)
        if kind == "delete":
            del collection.items[key, id]
            return None, charge(there or {}, write=True)
        new = patched(there or {}, body, collection) if kind == "patch" else copy.deepcopy(body)
        self._validate(collection, key, id, new)
        self._version += 1
        new |= {"_etag": f'"{self._version}"', "_ts": self.now, "_rid": "", "_self": ""}
        collection.items[key, id] = new
        # docs: optimize-cost-reads-writes: replacing costs two times what inserting costs.
        return new, charge(new, write=True) * (1 if there is None else 2)

    def _validate(self, collection: Collection, key: tuple[Any, ...], id: str, item: Item) -> None:
        if len(json.dumps(item, ensure_ascii=False).encode()) > LARGEST:
            raise Refused(413)
        well_named = isinstance(id, str) and 0 < len(id.encode()) <= 1023 and item["id"] == id
        if not well_named or _FORBIDDEN_IN_IDS & set(id) or id.endswith(" "):
            raise Refused(400)
        if key != tuple(item.get(each) for each in collection.keys):
            raise Refused(400, 1001)
        ttl = item.get("ttl", -1)
        if type(ttl) is not int or (ttl < 1 and ttl != -1) or not exact(item):
            raise Refused(400)

    # --- books -------------------------------------------------------------------------------

    def _counted(
        self, request: web.Request, kind: str, collection: Collection, key: tuple[Any, ...] | None
    ) -> web.Response | None:
        name = collection.definition["id"]
        self.calls[f"{kind} {name}"] += 1
        self.partitions.append((name, None if key is None else "/".join(key)))
        return self.faults(f"{kind} {name}", request)

    def _charge(self, collection: Collection, kind: str, units: float) -> None:
        self.charged[f"{kind} {collection.definition['id']}"] += units  # type: ignore[assignment]


def patched(there: Item, body: dict[str, Any], collection: Collection) -> Item:
    """An item with the changes of a patch (docs: partial-document-update)."""
    text = body.get("condition", "FROM c WHERE ")
    if not text.startswith("FROM c WHERE ") or not 0 < len(body["operations"]) <= 10:
        raise Refused(400)
    if (where := text.removeprefix("FROM c WHERE ")) and not condition(where, {})(there):
        raise Refused(412)
    new = copy.deepcopy(there)
    for change in body["operations"]:
        *above, last = (
            each.replace("~1", "/").replace("~0", "~") for each in change["path"].split("/")[1:]
        )
        at = new
        for each in above:
            if not isinstance(at.get(each), dict):
                raise Refused(400)
            at = at[each]
        if not above and (last in ("id", "_etag", "_ts") or last in collection.keys):
            raise Refused(400)
        if change["op"] == "incr":
            at[last] = at.get(last, 0) + change["value"]
        elif change["op"] == "set":
            at[last] = change["value"]
        else:
            raise Refused(400)
    return new


def exact(value: Any) -> bool:
    """Say whether all numbers survive: Cosmos DB's are those of JavaScript."""
    if isinstance(value, dict):
        return all(map(exact, value.values()))
    if isinstance(value, list):
        return all(map(exact, value))
    return not isinstance(value, int) or abs(value) <= 2**53


def throttled(
    times: int, milliseconds: int = 1
) -> Callable[[str, web.Request], web.Response | None]:
    """A fault: the first so many requests are too many."""
    left = [times]

    def fault(*_: object) -> web.Response | None:
        left[0] -= 1
        if left[0] < 0:
            return None
        headers = {"x-ms-retry-after-ms": str(milliseconds), "x-ms-substatus": "3200"}
        return web.json_response({}, status=429, headers=headers)

    return fault
