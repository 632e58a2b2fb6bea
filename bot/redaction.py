"""Keeps tokens and secrets out of the log, whoever put them there: ours, a library's, an error's.

Nothing of ours is meant to log any; this is for the day it happens all the same.
"""

from __future__ import annotations

import logging
import re
from typing import Any

GONE = "[redacted]"

# Each keeps what says what it was. None can backtrack over a long line.
_SECRETS = (
    # Authorization: Bearer ..., and what HTTP libraries print of headers
    re.compile(r"(?i)\b((?:bearer|basic|sharedaccesssignature)[ :=]+)[\w.~+/=%&-]{8,}"),
    # JSON Web Tokens, signed or encrypted
    re.compile(r"()\beyJ[\w-]{5,}(?:\.[\w-]*){2,4}"),
    # name=value and "name": "value", in addresses, forms, headers, JSON and connection strings
    re.compile(
        r"(?i)((?:\b|_|-)(?:sig|client[_-]?secret|client[_-]?assertion|assertion|(?:access|refresh|id)"
        r"[_-]?token|password|api[_-]?key|account[_-]?key|shared[_-]?access[_-]?key)"
        r"[\"']?\s{0,3}[=:]\s{0,3}[\"']?)[^\s\"'&,;}\])]{3,}"
    ),
    # the code that completes a sign-in, in an address
    re.compile(r"(?i)([?&]code=)[\w.-]{3,}"),
)
_OWN = frozenset(vars(logging.makeLogRecord({})))
_FORMATTER = logging.Formatter()


def redacted(text: str) -> str:
    """The text without what looks like a token or a secret."""
    for pattern in _SECRETS:
        text = pattern.sub(rf"\1{GONE}", text)
    return text


class Redacting(logging.Filter):
    """Redacts a record's message, its exception, its stack, and what `extra` added.

    Belongs to a handler, not to a logger: a logger's filters do not see its children's records.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact in place; every record goes on."""
        record.msg, record.args = redacted(_message(record)), None
        if record.exc_info and not record.exc_text:
            record.exc_text = _FORMATTER.formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = redacted(record.exc_text)
        if record.stack_info:
            record.stack_info = redacted(record.stack_info)
        for name in vars(record).keys() - _OWN - {"message", "asctime"}:
            setattr(record, name, _plain(getattr(record, name)))
        return True


def install() -> None:
    """Redact whatever the root logger's handlers write."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(Redacting())


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):  # arguments that do not fit: logging itself would print them
        return str(record.msg)


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float | None) else redacted(str(value))
