"""How values become items of Cosmos DB: names, times, text, and the limit on their size."""

from __future__ import annotations

import base64
import hashlib
import itertools
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from ..domain.incident import IncidentRef
from ..errors import StoreError
from ..records import decoded, encoded

# An item may have 2 MB (docs: concepts-limits); what the service adds to it is left room for.
MOST_BYTES = 1_900_000
# A claim holds three texts of this size: what was asked, the reply, and what is to be kept of it.
MOST_PART_BYTES = 600_000
_PLAIN_BYTES = 8_000
_COMPRESSED = "z"  # no JSON text begins with it

TOO_LARGE = "This is too large to be kept. Please ask for less at once, or send a shorter message."

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(at: datetime) -> int:
    """Microseconds since 1970; exact, also in the 53 bits that a number has in Cosmos DB."""
    return (at - _EPOCH) // _MICROSECOND


def moment(at: int) -> datetime:
    """The time that `micros` made a number of, in UTC."""
    return _EPOCH + timedelta(microseconds=at)


def numbered() -> Iterator[int]:
    """Numbers that put what one process keeps at the same microsecond in order."""
    return itertools.cycle(range(1_000_000))


def stamp(at: datetime, number: int) -> str:
    """A text that sorts by time, and within a microsecond by number."""
    return f"{micros(at):018}.{number:012}"


def name(*parts: str) -> str:
    """An item's id for any texts: ids may not hold slashes, ? or #, or more than 1,023 bytes."""
    told_apart = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(told_apart.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def bounded(text: str) -> str:
    """A partition key for any text: itself, where it is not too long for one."""
    return text if len(text) <= 400 else name(text)


def incident_key(incident: IncidentRef) -> str:
    """One level of a partition key for an incident."""
    return bounded(f"{incident.workspace}/{incident.id}")


def packed(value: Any, most: int = MOST_PART_BYTES) -> str:
    """JSON as text, compressed where it is long; as text, numbers stay what they are.

    Raises StoreError where JSON cannot hold the value, or where it is larger than `most` bytes.
    """
    data = encoded(value)
    if len(data) > _PLAIN_BYTES:
        data = _COMPRESSED.encode() + base64.b64encode(zlib.compress(data, 1))
    if len(data) > most:
        raise StoreError(TOO_LARGE)
    return data.decode()


def unpacked(text: str) -> Any:
    """Read back what `packed` made; raises StoreError where it is damaged."""
    if not text.startswith(_COMPRESSED):
        return decoded(text.encode())
    try:
        return decoded(zlib.decompress(base64.b64decode(text[1:])))
    except (ValueError, zlib.error):
        return decoded(b"")


def checked(body: Any) -> None:
    """Raise StoreError for a body that is no JSON or no item's size."""
    if len(encoded(body)) > MOST_BYTES:
        raise StoreError(TOO_LARGE)


def literal(value: str | float | bool) -> str:
    """A constant inside a condition, which takes no parameters; strings are written as in JSON."""
    return orjson.dumps(value).decode()
