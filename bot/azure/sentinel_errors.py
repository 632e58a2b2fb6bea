"""Says in a sentence what it means when Sentinel refuses, for the analyst who waits."""

from __future__ import annotations

from ..domain.rendering import unmarked
from ..errors import (
    IncidentNotFound,
    SentinelBusy,
    SentinelConflict,
    SentinelDown,
    SentinelError,
    SentinelForbidden,
    SentinelRefused,
)
from ..wire import Answer, retry_after

# Azure Resource Manager's codes for a path that ends before Sentinel is reached.
_NO_WORKSPACE = {
    "SubscriptionNotFound",
    "ResourceGroupNotFound",
    "ParentResourceNotFound",
    "WorkspaceNotFound",
}


def failure(
    answer: Answer, workspace: str, *, writing: bool, of_incident: bool, analyst: bool = False
) -> SentinelError:
    """Make the error for an answer that is not a success.

    `analyst` says that Azure was asked with the analyst's own rights.
    `of_incident` says that the address named one incident: then 404 can mean that it is gone.
    """
    code, message = (unmarked(text, 200) for text in answer.error)
    match answer.status:
        case 401 | 403:
            return _forbidden(answer.status, workspace, _said(code), _role(writing), analyst)
        case 404 if not of_incident or code in _NO_WORKSPACE or _of_workspace(code, message):
            return SentinelRefused(
                f"Azure does not find the workspace {workspace}{_said(code)}. Please ask whoever "
                "runs Casemate to check the subscription, resource group and workspace name."
            )
        case 404:
            return IncidentNotFound(
                f"There is no such incident in the workspace {workspace}. "
                "It may have been deleted or merged into another one."
            )
        case 409 | 412:
            return SentinelConflict(
                "Somebody else is changing this incident at the same time. "
                "Nothing was written; please look at it again and retry."
            )
        case 429:
            wait = retry_after(answer.headers) or 30.0
            return SentinelBusy(
                "Azure takes no more requests for this subscription right now. "
                f"Please try again in {wait:.0f} seconds.",
                wait,
            )
        case status if 400 <= status < 500:
            reason = message or code or f"status {status}"
            return SentinelRefused(f"Sentinel did not take the request: {reason.rstrip('.')}.")
        case status:
            return SentinelDown(
                f"Sentinel (the workspace {workspace}) has a problem of its own "
                f"(status {status}). Please try again in a minute."
            )


def _forbidden(
    status: int, workspace: str, said: str, role: str, analyst: bool
) -> SentinelForbidden:
    if status == 401 and analyst:
        return SentinelForbidden(
            f"Azure no longer accepts your sign-in for the workspace {workspace}{said}. "
            "Please say `sign out`, then ask again and sign in anew."
        )
    if status == 401:
        return SentinelForbidden(
            f"Azure did not accept the sign-in for the workspace {workspace}{said}. Please ask "
            f"whoever runs Casemate to check its identity, which needs the role {role} there."
        )
    if analyst:
        return SentinelForbidden(
            f"You lack {role} on the workspace {workspace}{said}. "
            "Please ask whoever runs it to assign the role to you."
        )
    return SentinelForbidden(
        f"The role {role} is missing on the workspace {workspace}{said}. "
        "Please ask whoever runs it to assign the role."
    )


def _of_workspace(code: str, message: str) -> bool:
    """`ResourceNotFound` names the resource: the workspace itself, or something below it."""
    named = message.lower()
    return code == "ResourceNotFound" and "/workspaces/" in named and "/incidents/" not in named


def _role(writing: bool) -> str:
    return f"Microsoft Sentinel {'Responder' if writing else 'Reader'}"


def _said(code: str) -> str:
    return f" ({code})" if code else ""
