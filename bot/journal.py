"""What the log looks like: lines of JSON for a collector, plain lines on a terminal.

Every line written while an activity is worked on carries that activity's id, also a library's. A
collected line holds no message of an exception: whoever raised it may have put a text into it.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TextIO

import orjson

_activity: ContextVar[str] = ContextVar("activity", default="")


@contextmanager
def about(activity: str) -> Generator[None]:
    """Name the activity whose work begins here: tasks that are started within know it too."""
    before = _activity.set(activity)
    try:
        yield
    finally:
        _activity.reset(before)


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and the activity's id if there is one.

    Of an exception: its type, those it came of, and where each was, as `file:line function`.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Lay out a record."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if activity := _activity.get():
            line["activity"] = activity
        if record.exc_info and (error := record.exc_info[1]):
            return orjson.dumps({**line, "exception": _where(error)}).decode()
        return orjson.dumps(line).decode()


def begin(stream: TextIO) -> None:
    """Write the log to `stream`, in the way that whoever reads it there needs."""
    handler = logging.StreamHandler(stream)
    plain = logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s")
    handler.setFormatter(plain if stream.isatty() else JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for library in ("httpx2", "azure"):  # each request with its headers, at INFO
        logging.getLogger(library).setLevel(logging.WARNING)


def _where(error: BaseException | None) -> list[dict[str, str | list[str]]]:
    """An exception and those behind it, the last one raised first."""
    found: list[dict[str, str | list[str]]] = []
    while error is not None and len(found) < 5:
        frames = traceback.extract_tb(error.__traceback__)
        at = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames[-20:]]
        found.append({"type": type(error).__name__, "at": at})
        error = error.__cause__ or error.__context__
    return found
