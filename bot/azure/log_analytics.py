"""Runs queries on one workspace's logs and reads what tables it has.

Queries go through azure-monitor-query; the metadata call, which that package lacks, is one GET.
Measured, a query costs 1.2 ms of CPU on the event loop and 7 ms more for every 100 rows of 20
columns, nearly all of it the package's own reading of the answer: the row cap bounds it.
"""

from __future__ import annotations

import asyncio
import copy
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast
from urllib.parse import quote

import aiohttp

from ..domain.endpoint import takes_token
from ..domain.incident import Workspace
from ..domain.query import Catalogue, Rows
from ..domain.query_text import with_row_cap
from ..errors import CasemateError, LogsBusy, LogsDown, LogsError, LogsTooSlow, SignInNeeded
from ..ports import Clock
from ..wire import Answer, Retries, Unreachable, request
from .log_analytics_errors import TOO_SLOW, UNREADABLE, failure, unreachable
from .log_analytics_json import to_catalogue, to_rows

SERVER_SECONDS = 60
_PATIENCE = SERVER_SECONDS + 10.0  # the service's own 504 is the better answer: let it come first
_CONNECT_SECONDS = 10.0

# An analyst waits: no attempt begins later than ten seconds after the first. A 504 is not tried
# again, since the query would only run into its limit once more.
_AGAIN = {429, 502, 503}
_ATTEMPTS = 3
_TOTAL_WAIT = 10.0
_METADATA = Retries(statuses=(*_AGAIN, 504), attempts=_ATTEMPTS, total_wait=_TOTAL_WAIT)
_METADATA_SECONDS = 30.0

_WEEK, _FORTNIGHT = timedelta(days=7), timedelta(days=14)
_INGESTED = (
    "Usage | where TimeGenerated > ago(7d) | summarize Megabytes = sum(Quantity) by DataType"
)
# A watchlist is written again every twelve days (docs: watchlists), so two weeks hold all of them.
_WATCHLISTS = "Watchlist | where TimeGenerated > ago(14d) | distinct WatchlistAlias"
_MOST_TABLES = 2_000


class LogAnalytics:
    """One workspace's logs, as `ports.Logs` asks for them.

    `endpoint` is the query service's address; `token` gives a bearer token for it, or is None: over
    plain http (loopback) none is sent. A token that cannot be had is a LogsDown with the token's
    own sentence. `patience` is how long, in seconds, one attempt at a query may take in all.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        workspace: Workspace,
        endpoint: str,
        token: Callable[[], Awaitable[str]] | None,
        clock: Clock,
        patience: float = _PATIENCE,
    ) -> None:
        self._session = session
        self._workspace = workspace
        self._endpoint = endpoint.rstrip("/").removesuffix("/v1")
        self._token = token if takes_token(endpoint) else None
        self._clock = clock
        self._patience = patience
        self._analyst = False
        self._url = ""
        self._made: Any = None

    def of(self, token: Callable[[], Awaitable[str]], url: str = "") -> LogAnalytics:
        """The same logs with an analyst's own rights; SignInNeeded comes through as it is.

        Queries go to `url` where there is one: see `arm_query_url`.
        """
        theirs = copy.copy(self)
        theirs._token, theirs._analyst, theirs._url, theirs._made = token, True, url, None
        return theirs

    async def ping(self) -> None:
        """Run the smallest query; raises LogsError when the logs are out of reach."""
        await self.run("print 1", timedelta(hours=1), rows=1)

    async def run(self, query: str, timespan: timedelta, *, rows: int) -> Rows:
        """Run a query over `timespan` up to now, capped at `rows`, with the server's own limit.

        One row more than `rows` is asked for, so that it is known whether there are more. Raises
        LogsError.
        """
        result = await self._answer(with_row_cap(query, rows + 1), timespan)
        try:
            return to_rows(result, rows, timespan)
        except (AttributeError, LookupError, TypeError, ValueError):
            raise LogsDown(UNREADABLE) from None

    async def metadata(self) -> Catalogue:
        """Read the workspace's tables, columns, functions and watchlists, and which hold data.

        What holds data is left open where that cannot be had. Raises LogsError.
        """
        answer = await self._metadata()
        # Megabytes of JSON in a large workspace: a tenth of a second.
        read = await asyncio.to_thread(lambda: to_catalogue(answer.json))
        if not read.tables:
            raise LogsDown(UNREADABLE)
        usage = await self._pairs(_INGESTED, _WEEK)
        aliases = await self._pairs(_WATCHLISTS, _FORTNIGHT) if "Watchlist" in read.by_name else ()
        volumes = {name: _whole(megabytes) for name, megabytes, *_ in usage}
        return replace(
            read,
            tables=tuple(
                replace(table, rows=volumes.get(table.name, 0) if volumes else None)
                for table in read.tables
            ),
            watchlists=tuple(sorted(str(alias) for alias, *_ in aliases if alias)),
            read_at=self._clock.now(),
        )

    # --- requests --------------------------------------------------------------------------------

    async def _pairs(self, query: str, timespan: timedelta) -> tuple[tuple[Any, ...], ...]:
        """The rows of a query of our own, or none: the tables are worth having without."""
        try:
            return (await self.run(query, timespan, rows=_MOST_TABLES)).rows
        except LogsError:
            return ()

    async def _metadata(self) -> Answer:
        id = quote(self._workspace.workspace_id, safe="")
        try:
            answer = await request(
                self._session,
                "GET",
                f"{self._endpoint}/v1/workspaces/{id}/metadata",
                clock=self._clock,
                headers=await self._headers(),
                timeout=_METADATA_SECONDS,
                retries=_METADATA,
            )
        except Unreachable as error:
            raise unreachable(self._workspace.name) from error
        if answer.status == 200:
            return answer
        raise failure(answer, self._workspace.name)

    async def _answer(self, query: str, timespan: timedelta) -> Any:
        """Send a query, again where that may help, and give the package's own result."""
        began = self._clock.monotonic()
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return await self._send(query, timespan)
            except _Failed as error:
                failed, again = error.failure, error.again
            wait = 0.5 * 2 ** (attempt - 1) * random.uniform(0.75, 1.5)
            if isinstance(failed, LogsBusy):
                wait = failed.retry_after
            waited = self._clock.monotonic() - began + wait
            if not again or attempt == _ATTEMPTS or waited > _TOTAL_WAIT:
                # Not chained: azure-core's errors hold the request, and with it the token.
                raise failed from None
            await self._clock.sleep(wait)
        raise AssertionError("the loop returns or raises")

    async def _send(self, query: str, timespan: timedelta) -> Any:
        client, headers = await self._client(), await self._headers()
        from azure.core.exceptions import AzureError, HttpResponseError

        # Else the package reads every error's body as JSON, and an HTML page hides the status.
        statuses = dict.fromkeys(range(300, 600), HttpResponseError)
        try:
            async with asyncio.timeout(self._patience):
                return await client.query_workspace(
                    self._workspace.workspace_id,
                    query,
                    timespan=timespan,
                    server_timeout=SERVER_SECONDS,
                    include_statistics=False,
                    headers=headers,
                    error_map=statuses,
                    connection_timeout=_CONNECT_SECONDS,
                )
        except TimeoutError:
            raise _Failed(LogsTooSlow(TOO_SLOW)) from None
        except HttpResponseError as error:
            response = cast(Any, error.response)
            if response is None:  # it was cut on its way
                raise _Failed(unreachable(self._workspace.name), again=True) from None
            answer = Answer(response.status_code, response.headers, response.content)
            failed = failure(answer, self._workspace.name, analyst=self._analyst)
            raise _Failed(failed, answer.status in _AGAIN) from None
        except AzureError:
            raise _Failed(unreachable(self._workspace.name), again=True) from None
        except (AttributeError, LookupError, TypeError, ValueError):
            raise _Failed(LogsDown(UNREADABLE)) from None

    async def _client(self) -> Any:
        if self._made is None:
            # The import reads many files. Two at once would do no harm: a client holds nothing
            # that needs to be closed.
            self._made = await asyncio.to_thread(self._make)
        return self._made

    def _make(self) -> Any:
        from azure.core.pipeline.transport import AioHttpTransport
        from azure.monitor.query.aio import LogsQueryClient

        # Without the default policies there are no redirects that a token could follow, no waiting
        # that our clock does not see, and no log line a query; the token goes with each call.
        return LogsQueryClient(
            cast(Any, _NO_CREDENTIAL),
            endpoint=self._endpoint,
            policies=[_redirecting(self._url)] if self._url else [],
            transport=AioHttpTransport(session=self._session, session_owner=False),
        )

    async def _headers(self) -> dict[str, str]:
        if self._token is None:
            return {}
        try:
            return {"Authorization": f"Bearer {await self._token()}"}
        except SignInNeeded:
            raise
        except CasemateError as error:
            raise LogsDown(error.sentence) from error


def arm_query_url(arm_endpoint: str, workspace: Workspace) -> str:
    """Where Azure Resource Manager takes queries, with the token that it takes for all else.

    Log Analytics' own endpoint takes only tokens for itself, and an OAuth connection of a bot gives
    tokens for one resource. The answers have the same shape; the resource-centric route beside this
    one leaves tables out that its caller may not read, and does not say so (docs:
    azure-resource-queries).
    """
    return f"{arm_endpoint.rstrip('/')}{workspace.arm_path}/query?api-version=2017-10-01"


def _redirecting(url: str) -> Any:
    """A policy of azure-core's that sends each query to this address."""
    from azure.core.pipeline.policies import SansIOHTTPPolicy

    class Redirecting(SansIOHTTPPolicy[Any, Any]):
        def on_request(self, request: Any) -> None:
            request.http_request.url = url

    return Redirecting()


_NO_CREDENTIAL = object()  # the client demands one; without its policy nothing ever asks it


class _Failed(Exception):
    """One attempt failed, and whether another may do better."""

    def __init__(self, failure: LogsError, again: bool = False) -> None:
        super().__init__()
        self.failure = failure
        self.again = again


def _whole(megabytes: Any) -> int:
    """Megabytes as a whole number that is 0 only where nothing came in."""
    return max(1, round(megabytes)) if isinstance(megabytes, int | float) and megabytes > 0 else 0
