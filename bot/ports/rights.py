"""What the use cases ask of analysts' own sign-ins."""

from __future__ import annotations

from typing import Protocol

from ..domain.people import Analyst


class SignIns(Protocol):
    """Analysts who signed in to Azure with their own account."""

    async def token(self, analyst: Analyst) -> str:
        """A token that carries this analyst's rights. Raises SignInNeeded and CasemateError."""
        ...

    async def sign_out(self, analyst: Analyst) -> None:
        """Forget the analyst's sign-in, here and at Microsoft's token service."""
        ...
