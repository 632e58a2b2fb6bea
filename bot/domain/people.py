"""Who speaks to Casemate, and where."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Analyst:
    """The person behind an activity: tenant and Entra object id make the key, the name is shown.

    `account` is Teams' own id of the person, which is what its token service knows.
    """

    tenant: str
    id: str
    name: str
    account: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was said: `kind` is `personal`, `groupChat` or `channel`.

    `conversation` is Teams' id; in a channel it carries `;messageid=` and so names the thread.
    """

    tenant: str
    conversation: str
    kind: str
    service_url: str
    bot_id: str = ""

    @property
    def streams(self) -> bool:
        """Teams streams to one-to-one chats only (docs: streaming-ux)."""
        return self.kind == "personal"
