"""Says in a sentence what it means when Log Analytics refuses, for the analyst who waits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from ..domain.rendering import unmarked
from ..errors import (
    LogsBusy,
    LogsDown,
    LogsError,
    LogsForbidden,
    LogsTooSlow,
    QueryRefused,
)
from ..wire import Answer, retry_after

DETAIL_CHARS = 300
UNREADABLE = "Log Analytics answered with something I cannot read. Please try again in a minute."
TOO_SLOW = (
    "The query ran into its time limit. Please try a shorter time span, or a filter on the time "
    "column before everything else."
)
_ROLE = "Log Analytics Reader or Microsoft Sentinel Reader"
_DEPTH = 10


def unreachable(workspace: str) -> LogsDown:
    """Make the error for a service that did not answer at all."""
    return LogsDown(
        f"The logs of the workspace {workspace} did not answer. Please try again in a minute."
    )


def failure(answer: Answer, workspace: str, *, analyst: bool = False) -> LogsError:
    """Make the error for an answer that is not a success.

    `analyst` says that Azure was asked with the analyst's own rights.
    """
    code, _ = answer.error
    said = f" ({unmarked(code, 60)})" if code else ""
    match answer.status:
        case 401 if analyst:
            return LogsForbidden(
                f"Azure no longer accepts your sign-in for the logs of the workspace {workspace}"
                f"{said}. Please say `sign out`, then ask again and sign in anew."
            )
        case 403 if analyst:
            return LogsForbidden(
                f"You lack {_ROLE} on the workspace {workspace}{said}. "
                "Please ask whoever runs it to assign the role to you."
            )
        case 401:
            return LogsForbidden(
                f"Azure did not accept the sign-in for the logs of the workspace {workspace}{said}."
                f" Please ask whoever runs Casemate to check its identity, which needs the role "
                f"{_ROLE} there."
            )
        case 403:
            return LogsForbidden(
                f"The role {_ROLE} is missing on the workspace {workspace}{said}. "
                "Please ask whoever runs it to assign the role."
            )
        case 404:
            return LogsDown(
                f"Azure does not find the logs of the workspace {workspace}{said}. Please ask "
                "whoever runs Casemate to check the workspace's name and id (a GUID)."
            )
        case 408 | 504:
            return LogsTooSlow(TOO_SLOW)
        case 429:
            wait = retry_after(answer.headers) or 30.0
            return LogsBusy(
                "The workspace takes no more queries right now. "
                f"Please try again in {wait:.0f} seconds.",
                wait,
            )
        case status if 400 <= status < 500:
            detail = unmarked(innermost(answer.json), DETAIL_CHARS) or f"status {status}"
            return QueryRefused(f"Log Analytics refuses the query: {detail.rstrip('.')}.", detail)
        case status:
            return LogsDown(
                f"Log Analytics (the workspace {workspace}) has a problem of its own "
                f"(status {status}). Please try again in a minute."
            )


def innermost(data: Any) -> str:
    """The most precise message in an error's body: the outer ones say "invalid properties".

    A partial result names its reason below `details`. The package gives mappings, not dicts.
    """
    message, level = "", _fields(data).get("error")
    for _ in range(_DEPTH):
        fields = _fields(level)
        if isinstance(said := fields.get("message"), str) and said.strip():
            message = said
        details = fields.get("details")
        first = cast(list[Any], details)[0] if isinstance(details, list) and details else None
        level = fields.get("innererror") or first
    return message


def _fields(value: Any) -> Mapping[str, Any]:
    return cast(Mapping[str, Any], value) if isinstance(value, Mapping) else {}
