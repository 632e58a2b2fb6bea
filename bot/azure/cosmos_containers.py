"""The containers of the Cosmos DB store, as one value that code, infrastructure and tests read.

Each partition is what one operation works on, so that a turn reads and writes single partitions:
a conversation (its claims, who looks at what), a history, a proposal with its clicks, a place with
its announcements, the audit, which is one chain. Only what a query filters or sorts by is indexed:
text is large, and each indexed property costs request units with every write.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Container:
    """A container: its partition key, one property a level, and its indexed properties."""

    name: str
    keys: tuple[str, ...]
    indexed: tuple[str, ...] = ()

    @property
    def resource(self) -> dict[str, Any]:
        """The container's definition, as Azure Resource Manager and the REST API take it.

        A `defaultTtl` of -1 lets each item name its own end, and keeps those that name none.
        """
        hierarchical = len(self.keys) > 1
        return {
            "id": self.name,
            "partitionKey": {
                "paths": [f"/{key}" for key in self.keys],
                "kind": "MultiHash" if hierarchical else "Hash",
                "version": 2,  # takes values of up to 2 KB; version 1 takes 101 bytes
            },
            "indexingPolicy": {
                "indexingMode": "consistent",
                "includedPaths": [{"path": f"/{name}/?"} for name in self.indexed],
                "excludedPaths": [{"path": "/*"}],
            },
            "defaultTtl": -1,
        }


CONVERSATIONS = Container(
    "conversations",
    ("conversation",),
    ("open", "seq", "tenant", "analyst", "at", "age"),
)
HISTORY = Container(
    "history",
    ("tenant", "analyst", "incident"),
    ("tenant", "analyst", "stamp", "age", "folded"),
)
PROPOSALS = Container(
    "proposals",
    ("proposal",),
    ("kind", "tenant", "asked_by", "shared_on", "age"),
)
PLACES = Container("places", ("tenant",))
OUTBOX = Container(
    "outbox",
    ("place",),
    ("workspace", "incident", "pending", "due", "activity", "posted"),
)
AUDIT = Container("audit", ("chain",), ("seq", "incident", "stamp"))
DOCUMENTS = Container("documents", ("part",), ("owner", "age"))

CONTAINERS = (CONVERSATIONS, HISTORY, PROPOSALS, PLACES, OUTBOX, AUDIT, DOCUMENTS)
