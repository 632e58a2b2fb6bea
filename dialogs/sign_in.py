"""`sign in` and `sign out`: whose rights in Azure decide what an analyst may do here."""

from __future__ import annotations

from bot.desk.desk import Desk
from bot.domain.incident import Mention
from bot.ports import Answered, Courier, Reply, Said

_NOBODY = (
    "There is nothing to sign in to: I work with my own identity in Azure, and name you in what "
    "I write."
)


async def sign_in(desk: Desk, said: Said, courier: Courier, mention: Mention | None) -> Answered:
    """Say that the analyst is signed in; where they are not, they are asked to sign in first."""
    if desk.rights is None:
        return Answered(Reply(_NOBODY))
    await desk.rights.check(said.analyst)
    return Answered(
        Reply(
            "You are signed in. What I read, write and query for you is done with your own rights "
            "in Azure. To end that, say `sign out`."
        )
    )


async def sign_out(desk: Desk, said: Said, courier: Courier, mention: Mention | None) -> Answered:
    """Forget the analyst's sign-in."""
    if desk.rights is None:
        return Answered(Reply(_NOBODY))
    await desk.rights.sign_out(said.analyst)
    return Answered(
        Reply(
            "You are signed out. Before I read or write anything for you again, "
            "I shall ask you to sign in."
        )
    )
