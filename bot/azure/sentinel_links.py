"""Says whether a link that Sentinel gave stays within the workspace: our token goes with it."""

from __future__ import annotations

from urllib.parse import SplitResult, unquote, urlsplit


def within(link: str, base: str) -> bool:
    """Say whether a link has the scheme, host and port of `base` and a path inside of it."""
    try:
        there, here = urlsplit(link), urlsplit(base)
        same = _origin(there) == _origin(here)
    except ValueError:
        return False
    path = unquote(there.path).lower()
    inside = path.startswith(f"{unquote(here.path).lower()}/")
    plain = link.isprintable() and "@" not in there.netloc
    return same and inside and plain and not {".", ".."}.intersection(path.split("/"))


def _origin(parts: SplitResult) -> tuple[str, str | None, int]:
    """Azure writes its links with `:443`: the default port and none are the same."""
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
