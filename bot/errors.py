"""Everything that can go wrong, in one tree.

    CasemateError                 carries `sentence`: what the person concerned may read
    ├── SettingsError             start-up: every wrong or missing name at once
    ├── Refused                   the edge turns a request away, with an HTTP `status`
    │   ├── NotAnActivity         400
    │   ├── NotAuthenticated      401
    │   ├── NotAllowed            403
    │   ├── TooLarge              413
    │   └── TooBusy               503, with `retry_after` seconds
    ├── StoreError                the store did not answer, or holds something unreadable
    ├── ModelError                the model gave no usable answer
    │   ├── PromptFiltered        content filter on what was sent; `categories`
    │   ├── AnswerFiltered        content filter on what came back; `categories`
    │   ├── ModelBusy             429; `retry_after` seconds
    │   ├── ModelDown             unreachable, 5xx, or silent for too long
    │   ├── ModelRefused          401, 403, 404: a setting is wrong
    │   ├── AnswerCut             the stream ended before the answer did
    │   ├── AnswerEmpty           nothing came back
    │   ├── AnswerMalformed       structured output that is not what was asked for
    │   └── ContextTooLong        the conversation does not fit the model
    ├── SentinelError             the workspace did not do what was asked
    │   ├── IncidentNotFound      no such incident
    │   ├── SentinelForbidden     401 or 403: a role is missing
    │   ├── SentinelBusy          429; `retry_after` seconds
    │   ├── SentinelConflict      somebody else changed the incident, again and again
    │   ├── SentinelRefused       Sentinel says no to what was sent (400, full incident)
    │   └── SentinelDown          unreachable or 5xx
    ├── LogsError                 the workspace's logs did not answer a query
    │   ├── QueryRefused          the service says the query is wrong; `detail` for the author
    │   ├── LogsForbidden         a role is missing
    │   ├── LogsBusy              429; `retry_after` seconds
    │   ├── LogsTooSlow           the query ran into its time limit
    │   └── LogsDown              unreachable or 5xx
    ├── NothingInFocus            no incident is named, and none was before
    ├── WhichIncident             what was named is in several workspaces; `choices`
    ├── SignInNeeded              the analyst's own rights are needed, and they have not signed in
    ├── ClickRefused              a card's button that may not do what it says
    ├── OverLimit                 more than one may ask for; try again after `retry_after` seconds
    ├── Undelivered               Teams did not take a message; `retire` when it never will
    └── Stopped                   the analyst pressed Stop; nothing more is to be said

Whatever is not a CasemateError is a bug: it is logged, and the analyst reads `UNEXPECTED`.
"""

from __future__ import annotations

from collections.abc import Sequence

UNEXPECTED = (
    "Something went wrong on my side and it has been logged. Nothing was written to Sentinel. "
    "Please try again."
)


UNEXPECTED_CLICK = (
    "Something went wrong on my side and it has been logged. Click again: nothing is added twice."
)


class CasemateError(Exception):
    """Carries the sentence that the person concerned may read."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class SettingsError(CasemateError):
    """Names every setting that is wrong or missing; `problems` holds one line each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(
            "Casemate cannot start; these settings need attention:\n"
            + "\n".join(f"  {problem}" for problem in problems)
        )
        self.problems = tuple(problems)


class Refused(CasemateError):
    """The request is turned away: the answer says what is wrong with it."""

    status = 400


class NotAnActivity(Refused):
    """The body is not a Bot Framework activity."""


class NotAuthenticated(Refused):
    """The caller did not prove who it is."""

    status = 401


class NotAllowed(Refused):
    """The caller is who it says, and may not."""

    status = 403


class TooLarge(Refused):
    """The body is larger than anything that is sent here."""

    status = 413


class TooBusy(Refused):
    """Nothing more can be kept at the moment; try again after `retry_after` seconds."""

    status = 503

    def __init__(self, sentence: str, retry_after: int = 5) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class StoreError(CasemateError):
    """The store did not answer, or holds something unreadable."""


class ModelError(CasemateError):
    """The model gave no usable answer."""


class PromptFiltered(ModelError):
    """The content filter blocked what was sent, in these `categories`."""

    def __init__(self, sentence: str, categories: Sequence[str] = ()) -> None:
        super().__init__(sentence)
        self.categories = tuple(categories)


class AnswerFiltered(ModelError):
    """The content filter blocked what came back, in these `categories`."""

    def __init__(self, sentence: str, categories: Sequence[str] = ()) -> None:
        super().__init__(sentence)
        self.categories = tuple(categories)


class ModelBusy(ModelError):
    """The deployment's quota is used up for `retry_after` seconds."""

    def __init__(self, sentence: str, retry_after: float) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class ModelDown(ModelError):
    """The model is unreachable, fails, or is silent for too long."""


class ModelRefused(ModelError):
    """The model's service does not know us or the deployment: a setting is wrong."""


class AnswerCut(ModelError):
    """The stream ended before the answer did."""


class AnswerEmpty(ModelError):
    """Nothing came back."""


class AnswerMalformed(ModelError):
    """Structured output that is not what was asked for; `text` is what came instead."""

    def __init__(self, sentence: str, text: str = "") -> None:
        super().__init__(sentence)
        self.text = text


class ContextTooLong(ModelError):
    """The conversation does not fit the model's context."""


class SentinelError(CasemateError):
    """The workspace did not do what was asked."""


class IncidentNotFound(SentinelError):
    """There is no such incident."""


class SentinelForbidden(SentinelError):
    """A role assignment is missing."""


class SentinelBusy(SentinelError):
    """Azure Resource Manager's quota is used up for `retry_after` seconds."""

    def __init__(self, sentence: str, retry_after: float) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class SentinelConflict(SentinelError):
    """Somebody else changed the incident at the same time, more than once."""


class SentinelRefused(SentinelError):
    """Sentinel says no to what was sent."""


class SentinelDown(SentinelError):
    """Sentinel is unreachable or fails."""


class LogsError(CasemateError):
    """The workspace's logs did not answer a query."""


class QueryRefused(LogsError):
    """The service says that the query is wrong; `detail` is its own message, cleaned and short."""

    def __init__(self, sentence: str, detail: str = "") -> None:
        super().__init__(sentence)
        self.detail = detail


class LogsForbidden(LogsError):
    """A role assignment is missing."""


class LogsBusy(LogsError):
    """The workspace's query quota is used up for `retry_after` seconds."""

    def __init__(self, sentence: str, retry_after: float) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class LogsTooSlow(LogsError):
    """The query ran into its time limit."""


class LogsDown(LogsError):
    """The logs are unreachable or fail."""


class NothingInFocus(CasemateError):
    """A question is about no incident: none is named, and none was before in this conversation."""


class WhichIncident(CasemateError):
    """What was named is, or may be, in several workspaces.

    `choices` holds the number and the workspace of each that was found.
    """

    def __init__(self, sentence: str, choices: Sequence[tuple[int, str]]) -> None:
        super().__init__(sentence)
        self.choices = tuple(choices)


class SignInNeeded(CasemateError):
    """Azure is asked with the analyst's own rights, and they have not signed in."""


class ClickRefused(CasemateError):
    """A card's button that may not do what it says.

    `reason` is for the audit; it is empty where something was only typed or chosen wrong.
    """

    def __init__(self, sentence: str, reason: str = "altered") -> None:
        super().__init__(sentence)
        self.reason = reason


class OverLimit(CasemateError):
    """An analyst or a tenant asked for more than they may; `retry_after` seconds later they may."""

    def __init__(self, sentence: str, retry_after: int) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class Undelivered(CasemateError):
    """Teams did not take a message; `retire` says that this place never will again."""

    def __init__(self, sentence: str, status: int = 0, retire: bool = False) -> None:
        super().__init__(sentence)
        self.status = status
        self.retire = retire


class Stopped(CasemateError):
    """The analyst pressed Stop."""
