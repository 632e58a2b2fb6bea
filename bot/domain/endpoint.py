"""The one rule about plain http: loopback only, and then without a token."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from urllib.parse import urlsplit


# A few addresses, asked about in every request of every turn.
@lru_cache(maxsize=256)
def is_loopback_host(host: str) -> bool:
    """Say whether a host name or address (without port or brackets) is this machine itself."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_loopback(url: str) -> bool:
    """Say whether a URL points at this machine itself."""
    try:
        return is_loopback_host(urlsplit(url).hostname or "")
    except ValueError:
        return False


def takes_token(url: str) -> bool:
    """Say whether a token may go to this URL: always over TLS, never in the clear."""
    return urlsplit(url).scheme == "https"


def problem(url: str) -> str | None:
    """Say what is wrong with an endpoint, or None: https anywhere, plain http on loopback only."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        return "is not a URL"
    if not url.isprintable() or " " in url:
        return "must not hold spaces or control characters"
    if parts.scheme not in ("http", "https") or not host:
        return "is not an http(s) URL"
    if parts.username or parts.password:
        return "must not carry a user name or password"
    if parts.scheme == "http" and not is_loopback_host(host):
        return "must be https (plain http is for loopback only)"
    return None
