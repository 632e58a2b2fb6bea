"""Calls of Microsoft's Cosmos DB SDK: the client, the time a call may take, and what went wrong."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from ..domain.endpoint import is_loopback
from ..errors import CasemateError, StoreError
from .cosmos_items import TOO_LARGE

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken
    from azure.cosmos.aio import CosmosClient
    from azure.cosmos.exceptions import CosmosBatchOperationError, CosmosHttpResponseError

log = logging.getLogger(__name__)

OK = HTTPStatus.OK
NOT_FOUND = HTTPStatus.NOT_FOUND
CONFLICT = HTTPStatus.CONFLICT
GONE = HTTPStatus.GONE
PRECONDITION_FAILED = HTTPStatus.PRECONDITION_FAILED

_THROTTLED_SECONDS = 4  # waited in all where the service asks for it (429)
_NO_OWNER = 1003  # the substatus of a 404 for what is in a container or database that is not there
_RETRY_WITH = 449  # another write to the same item was under way; the SDK leaves it to us
_AGAIN = (0.01, 0.03, 0.1)

STOPPING = "Casemate is starting or stopping. Please try again in a minute."
_DOWN = (
    "My store does not answer just now. Please try again in a minute; if it goes on, tell whoever "
    "runs Casemate."
)
_SENTENCES = {
    HTTPStatus.UNAUTHORIZED: "My store refuses me. Whoever runs Casemate should check COSMOS_KEY.",
    HTTPStatus.FORBIDDEN: (
        "My store refuses me. Whoever runs Casemate should check its network rules and the role "
        "assignment that infra/cosmos.bicep makes."
    ),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: TOO_LARGE,
    HTTPStatus.TOO_MANY_REQUESTS: "My store is busy just now. Please try again in a few seconds.",
}


async def call(
    work: Callable[[], Awaitable[Any]], *expected: HTTPStatus, budget: float
) -> tuple[HTTPStatus, Any]:
    """Do one thing within `budget` seconds: OK and what comes of it, or one of the `expected`.

    Raises StoreError for all else.
    """
    from azure.core.exceptions import AzureError
    from azure.cosmos.exceptions import CosmosBatchOperationError, CosmosHttpResponseError

    answered = (CosmosHttpResponseError, CosmosBatchOperationError)
    try:
        async with asyncio.timeout(budget):
            for pause in _AGAIN:
                try:
                    return OK, await work()
                except answered as error:
                    if error.status_code != _RETRY_WITH:
                        raise
                await asyncio.sleep(pause)
            return OK, await work()
    except answered as error:
        status = _status(error)
        if status in expected:
            return status, None
        # The service's own text holds whole requests: it is neither said nor logged.
        log.warning("Cosmos DB answered with HTTP status %s", error.status_code)
        raise StoreError(_SENTENCES.get(status, _DOWN)) from None
    except CasemateError as error:  # a token, too, is part of reaching the store
        raise StoreError(error.sentence) from error
    except RuntimeError as error:
        if "Session is closed" not in str(error):  # aiohttp's words: the store was closed meanwhile
            raise
        raise StoreError(STOPPING) from None
    except (AzureError, TimeoutError) as error:
        log.warning("Cosmos DB did not answer: %s", type(error).__name__)
        raise StoreError(_DOWN) from None


def _status(error: CosmosHttpResponseError | CosmosBatchOperationError) -> HTTPStatus:
    """What happened to an item; not every 404 says that it is missing."""
    substatus = cast(int | None, cast(Any, error).sub_status)
    if error.status_code == NOT_FOUND and substatus:
        return GONE if substatus == _NO_OWNER else HTTPStatus.BAD_GATEWAY
    known = error.status_code in list(HTTPStatus)
    return HTTPStatus(error.status_code) if known else HTTPStatus.BAD_GATEWAY


def client(url: str, key: str | Callable[[], Awaitable[str]]) -> CosmosClient:
    """Make a client; `key` is an account key, or gives tokens of Entra ID."""
    from azure.core.pipeline.transport import AioHttpTransport
    from azure.cosmos.aio import CosmosClient

    return CosmosClient(
        url,
        credential=key if isinstance(key, str) else Tokens(key),
        retry_throttle_total=9,
        retry_throttle_backoff_max=_THROTTLED_SECONDS,
        connection_timeout=2,
        read_timeout=5,
        # Between us and ourselves there is no proxy, and one region.
        enable_endpoint_discovery=not is_loopback(url),
        transport=AioHttpTransport(use_env_settings=not is_loopback(url)),
    )


class Tokens:
    """The SDK's credential over what gives tokens of Entra ID."""

    def __init__(self, token: Callable[[], Awaitable[str]]) -> None:
        self._token = token

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        """Give a token that is good now. Raises CasemateError."""
        from azure.core.credentials import AccessToken

        # It ends at once for the SDK, which so asks each time: who gives it knows when it ends.
        return AccessToken(await self._token(), 0)

    async def close(self) -> None:
        """Nothing is held here."""

    async def __aenter__(self) -> Tokens:
        return self

    async def __aexit__(
        self, exc_type: object = None, exc_value: object = None, traceback: object = None
    ) -> None:
        pass
