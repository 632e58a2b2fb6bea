"""Functions from values to Adaptive Cards (schema 1.5), each under `MAX_BYTES`."""

from ._parts import MAX_BYTES, Card, size
from .act import close_card
from .chat import choice_card, help_card, history_card, link_card
from .digest import digest_card
from .incident import incident_card, incidents_card, unfurled_card
from .proposal import MAX_TASKS, answer_card, tasks_card
from .query import query_card
from .rows import rows_card

__all__ = [
    "MAX_BYTES",
    "MAX_TASKS",
    "Card",
    "answer_card",
    "choice_card",
    "close_card",
    "digest_card",
    "help_card",
    "history_card",
    "incident_card",
    "incidents_card",
    "link_card",
    "query_card",
    "rows_card",
    "size",
    "tasks_card",
    "unfurled_card",
]
