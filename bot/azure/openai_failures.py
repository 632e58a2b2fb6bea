"""What a failing model service means (wire shapes in, `errors.ModelError` out), and for how long
it is worth waiting for.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from ..domain.injection import SHIELDS
from ..domain.rendering import unmarked
from ..errors import (
    AnswerCut,
    AnswerFiltered,
    ContextTooLong,
    ModelBusy,
    ModelDown,
    ModelError,
    ModelRefused,
    PromptFiltered,
)
from ..wire import retry_after

UNREACHABLE = "unreachable"
SILENT = "silent"
ENDED = "ended"
NO_TOKEN = "no_token"  # noqa: S105  (a code of ours, no secret)

# Members of a request that we can do without when a server does not know them.
OPTIONAL = ("response_format", "reasoning_effort", "stream_options")

_BUSY_WAITS = 10.0  # seconds an analyst waits for a rate limit, in all
_LEAST_WAIT = 0.25
_QUICK_WAITS = (0.5, 1.5)
_TAIL = 2.0  # seconds for the usage and the end of a stream whose answer is complete
_UNTOLD = 60.0
_RATE_CODES = {"429", "rate_limit_exceeded", "too_many_requests", "ratelimitreached"}
_CONTEXT_CODES = {
    "context_length_exceeded",
    "string_above_max_length",
    "exceed_context_size_error",  # llama.cpp's
}
_MODEL_CODES = {"deploymentnotfound", "model_not_found", "operationnotsupported", "unknown_model"}
_CATEGORY = re.compile(r"[a-z][a-z0-9_]{0,39}")
_WAIT = re.compile(
    r"(?:retry|try again) (?:after|in) (\d{1,6}(?:\.\d{1,6})?) ?(ms|milli|s|m|h)", re.IGNORECASE
)
_UNITS = {"ms": 0.001, "milli": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

_DOWN = "The model cannot be reached right now. Please try again in a few minutes."
_CUT = "The answer broke off before it was complete. Please ask again."
_TOO_LONG = (
    "The conversation about this incident has grown too long for the model. "
    "Say `reset` to start it afresh, or ask about one alert."
)
_NOT_KNOWN = (
    "The model's service did not accept Casemate. An administrator should check "
    "AZURE_OPENAI_API_KEY or, without a key, the role Cognitive Services OpenAI User."
)
_NO_DEPLOYMENT = (
    "The model's service does not know the model it was asked for. An administrator should check "
    "AZURE_OPENAI_MODEL (the deployment's name) and AZURE_OPENAI_BASE_URL."
)
_MOVED = (
    "The model's address answers with a redirect, which Casemate does not follow. "
    "An administrator should check AZURE_OPENAI_BASE_URL."
)
_NO_CREDIT = (
    "The model's service says that its paid quota is used up. "
    "An administrator should check the subscription behind AZURE_OPENAI_BASE_URL."
)
_NOT_TAKEN = (
    "The model's service did not accept the request. "
    "An administrator finds the reason in Casemate's log."
)


class Failure(Exception):
    """One failed attempt; `told` is how many seconds the service asks to wait, if it does.

    `status` is the HTTP status, 0 where there was none and `code` is one of ours. `detail` is the
    service's own text: for the log, never for an analyst.
    """

    def __init__(
        self,
        status: int,
        code: str,
        *,
        detail: str = "",
        param: str = "",
        categories: tuple[str, ...] = (),
        told: float | None = None,
    ) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code
        self.detail = detail
        self.param = param
        self.categories = categories
        self.told = told

    @property
    def passing(self) -> bool:
        """Whether the same request may well succeed in a moment."""
        return self.code in (UNREACHABLE, ENDED) or self.status == 408 or self.status >= 500

    @property
    def busy(self) -> bool:
        """Whether a rate limit was hit (and not the end of the money)."""
        return self.status == 429 and self.code != "insufficient_quota"

    @property
    def unknown_member(self) -> str:
        """The optional member of the request that the server says it does not know, or ''."""
        if self.status not in (400, 422):
            return ""
        for member in OPTIONAL:
            if self.param.split(".")[0] == member or member in self.detail:
                return member
        return "response_format" if "json_schema" in self.detail else ""


class Patience:
    """How long one question may still take, in seconds of the event loop's clock."""

    def __init__(self, silence: float) -> None:
        self._silence = silence
        self._time = asyncio.get_running_loop().time
        self._until = self._time() + silence
        self._busy = 0
        self._waited = 0.0
        self._quick = iter(_QUICK_WAITS)

    def limit(self) -> asyncio.Timeout:
        """Bound one wait for the service."""
        return asyncio.timeout_at(self._until)

    def heard(self) -> None:
        """A piece came and was passed on: the silence begins anew."""
        self._until = self._time() + self._silence

    def finished(self) -> None:
        """The answer is complete; little more is worth waiting for."""
        self._until = min(self._until, self._time() + _TAIL)

    def wait(self, failure: Failure) -> float | None:
        """Seconds until another try, or None when there should be none."""
        if failure.passing:
            return next(self._quick, None)
        if not failure.busy:
            return None
        wait = max(failure.told or 2.0**self._busy, _LEAST_WAIT)
        self._busy += 1
        self._waited += wait
        return wait if self._waited <= _BUSY_WAITS else None


def read_failure(status: int, error: Any, headers: Mapping[str, str]) -> Failure:
    """Read an error answer, or an error object in a stream (then `status` is 0).

    `error` is the content of the `error` member; services also send plain text or nothing.
    """
    fields = cast(dict[str, Any], error) if isinstance(error, dict) else {"message": error}
    code = fields.get("code")
    if not code or isinstance(code, int):  # llama.cpp repeats the status there
        code = fields.get("type") or code or ""
    code = str(code).lower()[:100]
    message = unmarked(str(fields.get("message") or "")[:2000], 2000)
    return Failure(
        status or _status_in_stream(fields, code),
        code,
        detail=message,
        param=str(fields.get("param") or ""),
        categories=filtered_categories(fields),
        told=retry_after(headers) or _told_in_words(message),
    )


def filtered_categories(results: Any) -> tuple[str, ...]:
    """The names of the content filter's categories that struck, wherever they are nested.

    The wire says `innererror.content_filter_result`, the OpenAPI document says
    `inner_error.content_filter_results`, and self-harm comes as `self-harm` and `self_harm`.
    """
    return tuple(dict.fromkeys(_struck(results, depth=0)))


def struck_shields(results: Any) -> tuple[str, ...]:
    """The prompt shields that found something, of a 200's `prompt_filter_results`.

    There they may be set to annotate only: `detected` without `filtered`.
    """
    listed = cast(list[Any], results) if isinstance(results, list) else []
    found = [_fields(_fields(each).get("content_filter_results")) for each in listed]
    return tuple(
        name for name in SHIELDS if any(_fields(each.get(name)).get("detected") for each in found)
    )


def _fields(value: Any) -> dict[str, Any]:
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def to_error(failure: Failure, *, begun: bool, silence: float) -> ModelError:
    """Say it to an analyst; `begun` is whether part of the answer was already shown."""
    if failure.code == "content_filter":
        return answer_filtered(failure.categories) if begun else _prompt_filtered(failure)
    if begun or failure.code == ENDED:
        return AnswerCut(_CUT)
    if failure.code == SILENT:
        return ModelDown(
            f"The model gave no answer within {silence:.0f} seconds. Please ask again."
        )
    if failure.code in _CONTEXT_CODES or failure.status == 413:
        return ContextTooLong(_TOO_LONG)
    if failure.busy:
        return ModelBusy(
            f"The model is busy: its quota is used up for now. Try again {_when(failure.told)}.",
            failure.told or _UNTOLD,
        )
    if failure.passing:
        return ModelDown(_DOWN)
    return ModelRefused(_refused(failure))


def answer_filtered(categories: tuple[str, ...]) -> AnswerFiltered:
    """Say that the answer was withheld."""
    return AnswerFiltered(
        f"The model's content filter withheld the answer{_in_brackets(categories)}. "
        "Asking in other words, or about one alert, often helps.",
        categories,
    )


def _prompt_filtered(failure: Failure) -> PromptFiltered:
    return PromptFiltered(
        f"The model's content filter blocked the question{_in_brackets(failure.categories)}. "
        "Text in the incident's evidence can cause this; ask in other words, or about one alert.",
        failure.categories,
    )


def _refused(failure: Failure) -> str:
    if failure.status in (401, 403) or failure.code == NO_TOKEN:
        return _NOT_KNOWN
    if failure.status == 404 or failure.code in _MODEL_CODES:
        return _NO_DEPLOYMENT
    if failure.status == 429:
        return _NO_CREDIT
    return _MOVED if 300 <= failure.status < 400 else _NOT_TAKEN


def _status_in_stream(fields: dict[str, Any], code: str) -> int:
    if code in _RATE_CODES:
        return 429
    if code == "content_filter" or code in _CONTEXT_CODES:
        return 400
    status = fields.get("status")
    return status if isinstance(status, int) and 400 <= status < 600 else 500


def _told_in_words(message: str) -> float | None:
    found = _WAIT.search(message)
    seconds = float(found[1]) * _UNITS[found[2].lower()] if found else 0.0
    return seconds or None


def _when(seconds: float | None) -> str:
    if seconds is None:
        return "in about a minute"
    if seconds <= 90:
        whole = math.ceil(seconds)
        return f"in {whole} second{'s' if whole > 1 else ''}"
    if seconds <= 90 * 60:
        return f"in about {math.ceil(seconds / 60)} minutes"
    return f"in about {math.ceil(seconds / 3600)} hours"


def _struck(results: Any, depth: int) -> Iterator[str]:
    if depth > 5:
        return
    if isinstance(results, list):
        for item in cast(list[Any], results):
            yield from _struck(item, depth + 1)
    elif isinstance(results, dict):
        for name, value in cast(dict[str, Any], results).items():
            if isinstance(value, dict) and cast(dict[str, Any], value).get("filtered") is True:
                category = name.lower().replace("-", "_")
                yield category if _CATEGORY.fullmatch(category) else "other"
            else:
                yield from _struck(value, depth + 1)


def _in_brackets(categories: tuple[str, ...]) -> str:
    names = ", ".join(category.replace("_", " ") for category in categories[:5])
    return f" ({names})" if names else ""
