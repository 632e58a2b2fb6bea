"""What a token for the incident webhook may name as its audience."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_CLIENT_ID = re.compile(r"(?:api://)?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})", re.IGNORECASE)
# Azure Resource Manager, by its hosts in each cloud and by its client id. Any Logic App that was
# given no audience gets such a token, and so does every tool that manages Azure (facts 2.2).
_RESOURCE_MANAGER = frozenset(
    {
        "management.azure.com",
        "management.core.windows.net",
        "management.usgovcloudapi.net",
        "management.core.usgovcloudapi.net",
        "management.chinacloudapi.cn",
        "management.core.chinacloudapi.cn",
        "797f4846-ba00-4fd7-ba43-dac1f8f63013",
    }
)


def accepted(audience: str) -> frozenset[str]:
    """The forms in which a token may name the configured audience; none where it may not be used.

    Entra ID names an application by its App ID URI (`api://GUID`) in v1 tokens and by its client
    id in v2 tokens (facts 2.3): both are the same application. Any other URI is matched exactly.
    """
    try:
        host = urlsplit(audience).hostname or ""
    except ValueError:
        host = ""
    if host in _RESOURCE_MANAGER or audience.lower() in _RESOURCE_MANAGER:
        return frozenset()
    if found := _CLIENT_ID.fullmatch(audience):
        client_id = found[1].lower()
        return frozenset({client_id, f"api://{client_id}"})
    return frozenset({audience})
