"""The log: one line of JSON for each record, with the activity it is about, and no text of it."""

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bot import journal, redaction


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@contextmanager
def logging_to(stream: io.StringIO) -> Iterator[None]:
    """Log there as `app.py` does, without the handlers of pytest, which would keep ours out."""
    root = logging.getLogger()
    before, level, root.handlers = root.handlers, root.level, []
    journal.begin(stream)
    redaction.install()
    try:
        yield
    finally:
        root.handlers = before
        root.setLevel(level)


def written(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_says_when_who_and_what_and_which_activity() -> None:
    stream = io.StringIO()
    with logging_to(stream):
        logging.getLogger("a.b").warning("it took %d s\nand more", 3)
        with journal.about("a:chat/m-1"):
            logging.getLogger("a").info("in between")
    first, second = written(stream)
    assert first.pop("time").endswith("+00:00")
    assert first == {"level": "WARNING", "logger": "a.b", "message": "it took 3 s\nand more"}
    assert second["activity"] == "a:chat/m-1"


def test_an_exception_is_told_by_type_and_place_without_what_it_says() -> None:
    stream = io.StringIO()
    with logging_to(stream):
        try:
            try:
                int("what the analyst asked")
            except ValueError as error:
                raise KeyError("what the model said") from error
        except KeyError:
            logging.getLogger("a").exception("a turn failed")
    [line] = written(stream)
    assert [each["type"] for each in line["exception"]] == ["KeyError", "ValueError"]
    assert "test_journal.py:" in line["exception"][0]["at"][-1]
    assert "what the" not in stream.getvalue()


def test_on_a_terminal_a_line_is_for_the_eye() -> None:
    stream = Terminal()
    with logging_to(stream):
        logging.getLogger("a").info("listening")
    assert stream.getvalue().endswith("INFO a listening\n")


def test_secrets_are_redacted_and_libraries_do_not_chat() -> None:
    stream = io.StringIO()
    with logging_to(stream):
        logging.getLogger("azure.core.pipeline").info("Request URL")
        logging.getLogger("a").info("Authorization: Bearer abcdefghijkl")
    [line] = written(stream)
    assert line["message"] == "Authorization: Bearer [redacted]"
