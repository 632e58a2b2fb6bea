"""How the work on an activity went: noted by who learns of it, read by who measures.

A task that is started within the work notes it in the same place. Outside of it nothing is noted.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(slots=True)
class Course:
    """The errors that were met, the last one decides; when Teams first took a text of an answer."""

    errors: list[BaseException] = field(default_factory=list[BaseException])
    first_text: datetime | None = None


_course: ContextVar[Course | None] = ContextVar("course", default=None)


@contextmanager
def begun() -> Generator[Course]:
    """Take notes of the work that is done within."""
    course = Course()
    token = _course.set(course)
    try:
        yield course
    finally:
        _course.reset(token)


def met(error: BaseException) -> None:
    """Note what the work ended with, where it is turned into a sentence."""
    if (course := _course.get()) is not None:
        course.errors.append(error)


def shown(at: datetime) -> None:
    """Note that an analyst can read something of the answer."""
    if (course := _course.get()) is not None and course.first_text is None:
        course.first_text = at
