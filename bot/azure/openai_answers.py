"""What a model's answer says on the wire: events out of bytes, text and usage out of events."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, cast

import orjson

from ..errors import AnswerCut, AnswerEmpty, AnswerFiltered, AnswerMalformed
from ..ports import JsonObject, Usage
from .openai_failures import (
    ENDED,
    Failure,
    answer_filtered,
    filtered_categories,
    read_failure,
    struck_shields,
)

_MAX_EVENT = 4 * 1024 * 1024
_MAX_STARTS = 20
_DONE = b"[DONE]"

_LENGTH = "The answer reached its length limit and stops there. Ask for the rest, or for less."
_EMPTY = "The model gave no answer. Please ask again, or in other words."
_ALL_THOUGHT = "The model used up its length limit before it wrote a word. Please ask for less."
_DECLINED = "The model declined to answer this. Asking in other words may help."
_MALFORMED = "The model's answer did not have the form that was asked for. Please ask again."


async def read_events(
    receive: Callable[[], Awaitable[bytes]], *, sse: bool
) -> AsyncGenerator[list[JsonObject]]:
    """Yield the JSON objects of a server-sent event stream, or the one of a plain JSON answer.

    What arrived together comes together: under load that is ten events at a time, and all that lies
    between here and the analyst runs once for them. `receive` gives the bytes as they arrive, and
    b"" at the end. Tolerates comments, other fields, CRLF, and lines that arrive in parts. What
    follows `[DONE]` is read and dropped, so that the connection can serve the next request. Raises
    Failure.
    """
    rest = b""
    while chunk := await receive():
        rest += chunk
        if len(rest) > _MAX_EVENT:
            raise Failure(0, ENDED, detail="one event of the answer is too large")
        if not sse:
            continue
        *lines, rest = rest.split(b"\n")
        events, broken, done = _parsed(lines)
        if events:
            yield events
        if broken is not None:
            raise broken
        if done:
            while await receive():
                pass
            return
    events, broken, _ = _parsed([rest if sse else b"data:" + rest])
    if broken is not None:
        raise broken
    if events:
        yield events


def _parsed(lines: Iterable[bytes]) -> tuple[list[JsonObject], Failure | None, bool]:
    """The events of whole lines, what is wrong after them, and whether they are the last."""
    events: list[JsonObject] = []
    for line in lines:
        data = _data(line)
        if data == _DONE:
            return events, None, True
        try:
            if data:
                events.append(_parse(data))
        except Failure as failure:
            return events, failure, False
    return events, None, False


def _data(line: bytes) -> bytes:
    return line[5:].strip() if line.startswith(b"data:") else b""


def _parse(data: bytes) -> JsonObject:
    try:
        event = orjson.loads(data)
    except orjson.JSONDecodeError:
        # Going on would leave a hole in the answer that nobody sees.
        raise Failure(0, ENDED, detail="an event of the answer is not JSON") from None
    return cast(JsonObject, event) if isinstance(event, dict) else {}


class Answer:
    """One answer as it grows: whether it has `begun`, how it ended (`finish`), what it cost.

    The answer is the first choice that says anything; `others` holds the texts of further ones.
    """

    def __init__(self, model: str) -> None:
        self.begun = False
        self.finish = ""
        self.usage = Usage(model)
        self.others: dict[int, str] = {}
        self._chosen: int | None = None
        self._refused = False
        self._categories: tuple[str, ...] = ()

    def add_all(self, events: Iterable[JsonObject]) -> tuple[str, Failure | None]:
        """Take in events: their text, and the error object that ended them early."""
        text = ""
        for event in events:
            try:
                text += self.add(event)
            except Failure as failure:
                return text, failure
        return text, None

    def add(self, event: JsonObject) -> str:
        """Take in one event and return its text, often ''; raises Failure for an error object.

        White space before the first word is dropped: it is no answer yet.
        """
        if event.get("error"):
            raise read_failure(0, event["error"], {})
        self._note_usage(event)
        text = ""
        for place, choice in enumerate(_choices(event)):
            index = choice.get("index")
            index = index if isinstance(index, int) else place
            said = _message(choice)
            piece = _text(said.get("content"))
            if self._chosen is None and piece.strip():
                self._chosen = index
            if self._chosen not in (None, index):
                self.others[index] = self.others.get(index, "") + piece
                continue
            text += piece
            self.finish = _text(choice.get("finish_reason")) or self.finish
            if self.finish == "content_filter":
                self._categories += filtered_categories(choice)
            self._refused = self._refused or bool(said.get("refusal"))
        self.begun = self._chosen is not None
        return text if self.begun else ""

    def check(self) -> None:
        """Raise unless this is a whole answer."""
        if self.finish == "content_filter":
            raise answer_filtered(tuple(dict.fromkeys(self._categories)))
        if self.finish == "length":
            raise AnswerCut(_LENGTH) if self.begun else AnswerEmpty(_ALL_THOUGHT)
        if not self.begun:
            raise AnswerFiltered(_DECLINED) if self._refused else AnswerEmpty(_EMPTY)

    def _note_usage(self, event: JsonObject) -> None:
        model = _text(event.get("model")) or self.usage.model
        shields = self.usage.shields
        if found := event.get("prompt_filter_results"):
            shields = shields or struck_shields(found)
        usage = _object(event.get("usage"))
        if usage:
            details = _object(usage.get("prompt_tokens_details"))
            thought = _object(usage.get("completion_tokens_details"))
            self.usage = Usage(
                model,
                _count(usage.get("prompt_tokens")),
                _count(usage.get("completion_tokens")),
                _count(details.get("cached_tokens")),
                shields,
                _count(thought.get("reasoning_tokens")),
            )
        elif model != self.usage.model or shields != self.usage.shields:
            self.usage = replace(self.usage, model=model, shields=shields)


def find_objects(texts: Iterable[str], required: Sequence[str]) -> list[JsonObject]:
    """One object of each choice that has one, as `find_object` finds it.

    Raises AnswerMalformed, of the first choice, where there is none at all.
    """
    found: list[JsonObject] = []
    malformed: list[AnswerMalformed] = []
    for text in texts:
        try:
            found.append(find_object(text, required))
        except AnswerMalformed as error:
            malformed.append(error)
    if not found:
        raise malformed[0]
    return found


def find_object(text: str, required: Sequence[str]) -> JsonObject:
    """The first JSON object in a text (bare, fenced or in prose) that has the required members.

    Line breaks inside strings are let pass: models write queries that way. Raises AnswerMalformed.
    """
    decoder = json.JSONDecoder(strict=False)
    start = -1
    for _ in range(_MAX_STARTS):
        start = text.find("{", start + 1)
        if start < 0:
            break
        try:
            found, _end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict) and all(name in found for name in required):
            return cast(JsonObject, found)
    raise AnswerMalformed(_MALFORMED, text)


def _choices(event: JsonObject) -> list[JsonObject]:
    choices = event.get("choices")
    items = cast(list[Any], choices) if isinstance(choices, list) else []
    return [_object(item) for item in items if item]


def _message(choice: JsonObject) -> JsonObject:
    return _object(choice.get("delta")) or _object(choice.get("message"))


def _object(value: Any) -> JsonObject:
    return cast(JsonObject, value) if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0
