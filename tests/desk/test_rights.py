"""Each analyst's own access to the workspace: kept apart, kept for a while, ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import cast

from bot.desk.rights import Access, Accesses, Rights
from bot.domain.people import Analyst

Token = Callable[[], Awaitable[str]]


class Everybody:
    """Sign-ins of whoever asks; the token is the analyst's name."""

    def __init__(self) -> None:
        self.left: list[str] = []

    async def token(self, analyst: Analyst) -> str:
        return f"{analyst.tenant}/{analyst.id}"

    async def sign_out(self, analyst: Analyst) -> None:
        self.left.append(analyst.id)


class Opened:
    """Counts how often an access is made, and keeps the tokens that each asks for."""

    def __init__(self) -> None:
        self.tokens: list[Token] = []

    def __call__(self, token: Token) -> Accesses:
        self.tokens.append(token)
        return {"soc": cast(Access, object())}


def who(number: int, tenant: str = "contoso", name: str = "x") -> Analyst:
    return Analyst(tenant, str(number), name)


async def test_an_access_is_of_one_analyst_and_asks_for_their_token():
    opened = Opened()
    rights = Rights(Everybody(), opened)
    ana = rights.of(who(1))
    assert rights.of(who(1, name="Ana, renamed")) is ana
    assert rights.of(who(2)) is not ana and rights.of(who(1, "fabrikam")) is not ana
    assert [await token() for token in opened.tokens] == ["contoso/1", "contoso/2", "fabrikam/1"]


def test_the_access_of_five_hundred_analysts_is_kept_the_latest():
    rights = Rights(Everybody(), Opened())
    first, second = rights.of(who(1)), rights.of(who(2))
    for number in range(3, 501):
        rights.of(who(number))
    assert rights.of(who(1)) is first
    rights.of(who(501))
    assert rights.of(who(1)) is first
    assert rights.of(who(2)) is not second


async def test_with_the_sign_in_goes_what_was_read():
    everybody = Everybody()
    rights = Rights(everybody, Opened())
    before = rights.of(who(1))
    await rights.sign_out(who(1))
    assert everybody.left == ["1"]
    assert rights.of(who(1)) is not before
