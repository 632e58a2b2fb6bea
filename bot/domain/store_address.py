"""Where the store is: a file of this machine, or an account of Azure Cosmos DB."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from . import endpoint

DEFAULT = "sqlite:///casemate.db"
_FILE = "sqlite:///"


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """A SQLite file's path, or a Cosmos DB account's URL with its database, and its key if any.

    Exactly one of `path` and `url` is there. Without a key the account takes tokens of Entra ID.
    """

    path: str = ""
    url: str = ""
    database: str = ""
    key: str = field(default="", repr=False)

    @staticmethod
    def of(url: str, database: str, key: str) -> StoreAddress:
        """Read the three settings; those of Cosmos DB count for an http(s) URL only."""
        url = url or DEFAULT
        if not url.lower().startswith(("https://", "http://")):
            return StoreAddress(path=url.removeprefix(_FILE) if url.startswith(_FILE) else "")
        return StoreAddress(url=url.rstrip("/") + "/", database=database or "casemate", key=key)

    def problems(self) -> Iterator[tuple[str, str]]:
        """What is wrong: a setting's name, and what to do about it."""
        if not self.url and not self.path:
            yield "STORE_URL", "must look like sqlite:///casemate.db"
        if not self.url:
            return
        if problem := endpoint.problem(self.url):
            yield "STORE_URL", problem
        elif any([(parts := urlsplit(self.url)).path.strip("/"), parts.query, parts.fragment]):
            yield "STORE_URL", "must look like https://ACCOUNT.documents.azure.com/"
        elif not self.key and not endpoint.takes_token(self.url):
            yield "COSMOS_KEY", "is missing: no token goes over plain http"
        if len(self.database) > 255 or set(self.database) & set("/\\?#"):
            yield "COSMOS_DATABASE", "is not a name that Azure gives"
        if self.key and not _is_base64(self.key):
            yield "COSMOS_KEY", "is not an account key: those are base64"


def _is_base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return False
