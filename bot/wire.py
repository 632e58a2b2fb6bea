"""One way to make an HTTP request: JSON in and out, deadlines, and retries that honour the service.

Used by the adapters that speak plain JSON over HTTP (Sentinel, the Teams connector, tokens).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, cast

import aiohttp
import orjson

from .ports import Clock

_MAX_BODY = 32 * 1024 * 1024
# A session's own limit would be a second clock beside ours, an eighth of what a request costs.
_NO_LIMIT = aiohttp.ClientTimeout(total=None)


@dataclass(frozen=True, slots=True)
class Retries:
    """Which statuses are worth another try, how often, and how long to wait (seconds).

    No attempt begins later than `total_wait` after the first one: slow attempts count.
    """

    statuses: Collection[int]
    attempts: int = 4
    first_wait: float = 0.5
    longest_wait: float = 10.0
    total_wait: float = 30.0
    connection_errors: bool = True


NEVER = Retries(statuses=(), attempts=1)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service said; `json` is None where the body is not JSON."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The parsed body, or None."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None

    @property
    def error(self) -> tuple[str, str]:
        """The service's code and message, in whichever of the known shapes it came; capped."""
        data = self.json
        if not isinstance(data, dict):
            return "", ""
        outer = cast(dict[str, Any], data)
        inner = outer.get("error") or outer
        if isinstance(inner, str):  # Entra ID: error and error_description, side by side
            return inner[:100], str(outer.get("error_description") or inner)[:500]
        if not isinstance(inner, dict):
            return "", ""
        fields = cast(dict[str, Any], inner)
        code = fields.get("code") or fields.get("errorCode") or fields.get("subCode") or ""
        return str(code)[:100], str(fields.get("message") or "")[:500]


class Unreachable(Exception):
    """The service did not answer: refused, reset, or too slow. Adapters turn it into their own."""


class Lost(Unreachable):
    """Meanwhile somebody else may send this: it was not sent, or not again."""


def always() -> bool:
    """What is nobody else's to send."""
    return True


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds the service asks to wait (`retry-after-ms`, `Retry-After`), or None.

    Zero, negative and unreadable values are None: seen from live services in 2025.
    """
    for name, unit in (("retry-after-ms", 1000.0), ("Retry-After", 1.0)):
        try:
            seconds = float(headers.get(name, "")) / unit
        except ValueError:
            continue
        if 0 < seconds < 1e6:
            return seconds
    return None


async def request(
    session: aiohttp.ClientSession,
    method: str,
    url: str,
    *,
    clock: Clock,
    json: Any = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = 15.0,
    retries: Retries = NEVER,
    holds: Callable[[], bool] = always,
) -> Answer:
    """Send one JSON request, again where `retries` says so; the last answer comes back as it is.

    `timeout` is for one attempt, in seconds; `holds` is asked right before each. Redirects are not
    followed: a token must not go where a service points. Raises Unreachable.
    """
    data = None if json is None else orjson.dumps(json)
    sent = dict(headers or {})
    if data is not None:
        sent["Content-Type"] = "application/json"
    began = clock.monotonic()
    for attempt in range(1, retries.attempts + 1):
        answer: Answer | None = None
        if not holds():
            raise Lost
        try:
            async with asyncio.timeout(timeout):
                async with session.request(
                    method,
                    url,
                    data=data,
                    headers=sent,
                    allow_redirects=False,
                    timeout=_NO_LIMIT,
                ) as response:
                    body = bytearray()
                    async for piece in response.content.iter_any():
                        body += piece
                        if len(body) > _MAX_BODY:
                            raise Unreachable("the answer is too large")
                    answer = Answer(response.status, response.headers, bytes(body))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if attempt == retries.attempts or not retries.connection_errors:
                raise Unreachable(type(error).__name__) from error
        if answer is not None and answer.status not in retries.statuses:
            return answer
        asked = retry_after(answer.headers) if answer is not None else None
        wait = asked or retries.first_wait * 2 ** (attempt - 1) * random.uniform(0.75, 1.5)
        waited = clock.monotonic() - began + wait
        if (
            attempt == retries.attempts
            or wait > retries.longest_wait
            or waited > retries.total_wait
        ):
            if answer is None:
                raise Unreachable("no answer within the time allowed")
            return answer
        await clock.sleep(wait)
    raise AssertionError("the loop returns or raises")
