"""Reads what an identity may do on the workspace, so that an operator learns it before an analyst.

Azure answers with patterns, allowed and excluded, one pair for each role assignment
(learn.microsoft.com/rest/api/authorization/permissions/list-for-resource).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import aiohttp

from ..domain.endpoint import takes_token
from ..domain.incident import Workspace
from ..errors import SentinelDown
from ..ports import Clock
from ..wire import Unreachable, request
from .sentinel_errors import failure

API_VERSION = "2022-04-01"
NEEDED = (
    "Microsoft.SecurityInsights/incidents/read",
    "Microsoft.SecurityInsights/incidents/write",
    "Microsoft.SecurityInsights/incidents/comments/write",
    "Microsoft.SecurityInsights/incidents/tasks/write",
    "Microsoft.OperationalInsights/workspaces/query/read",
)


async def missing_rights(
    session: aiohttp.ClientSession,
    workspace: Workspace,
    endpoint: str,
    token: Callable[[], Awaitable[str]] | None,
    clock: Clock,
) -> tuple[str, ...]:
    """Name those of `NEEDED` that the identity lacks on the workspace; raises SentinelError.

    `token` gives a bearer token for Azure Resource Manager; loopback takes none.
    """
    url = (
        f"{endpoint.rstrip('/')}{workspace.arm_path}"
        f"/providers/Microsoft.Authorization/permissions?api-version={API_VERSION}"
    )
    headers: dict[str, str] = {}
    if token is not None and takes_token(endpoint):
        headers["Authorization"] = f"Bearer {await token()}"
    try:
        answer = await request(session, "GET", url, clock=clock, headers=headers, timeout=10.0)
    except Unreachable as error:
        raise SentinelDown("Azure Resource Manager did not answer.") from error
    if answer.status != 200:
        raise failure(answer, workspace.name, writing=False, of_incident=False)
    body = answer.json
    granted = cast(dict[str, Any], body).get("value") if isinstance(body, dict) else None
    pairs = cast(list[Any], granted) if isinstance(granted, list) else []
    return tuple(action for action in NEEDED if not any(_allows(each, action) for each in pairs))


def _allows(pair: Any, action: str) -> bool:
    if not isinstance(pair, dict):
        return False
    fields = cast(dict[str, Any], pair)
    return _any(fields.get("actions"), action) and not _any(fields.get("notActions"), action)


def _any(patterns: Any, action: str) -> bool:
    listed: Sequence[Any] = cast(list[Any], patterns) if isinstance(patterns, list) else ()
    return any(_matches(str(each), action) for each in listed)


def _matches(pattern: str, action: str) -> bool:
    """`*` stands for any text; the case does not matter."""
    parts = ".*".join(map(re.escape, pattern[:300].split("*")))
    return re.fullmatch(parts, action, re.IGNORECASE) is not None
