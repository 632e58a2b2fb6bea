"""How much one analyst, and all of one tenant's together, may ask for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Requests in a minute and the model's tokens in a day (UTC); 0 is no limit."""

    analyst_requests: int = 0
    tenant_requests: int = 0
    analyst_tokens: int = 0
    tenant_tokens: int = 0
