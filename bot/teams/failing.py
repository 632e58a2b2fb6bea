"""Turns a failure into the sentence that an analyst reads of it."""

from __future__ import annotations

import logging

from ..course import met
from ..errors import CasemateError

log = logging.getLogger(__name__)


def sentence(error: Exception, *, slow: str, unexpected: str) -> str:
    """The error's own sentence, `slow` where time ran out, `unexpected` for a bug of ours."""
    met(error)
    if isinstance(error, TimeoutError):
        return slow
    if isinstance(error, CasemateError):
        log.info("answered with %s: %s", type(error).__name__, error.sentence)
        return error.sentence
    log.error("an activity failed", exc_info=error)
    return unexpected
