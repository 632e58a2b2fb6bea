"""What the model's answers cost, in tokens and in money."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Prices:
    """US dollars for a million tokens: read anew, read from the cache, and written."""

    input: float
    cached: float
    output: float

    @staticmethod
    def parse(text: str) -> Prices:
        """Read `{"input": 0.75, "cached": 0.075, "output": 4.5}`. Raises ValueError."""
        try:
            fields: object = json.loads(text)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
        names = ("input", "cached", "output")
        if not isinstance(fields, dict) or set(cast(dict[str, Any], fields)) != set(names):
            raise ValueError("not an object with input, cached and output")
        values = [cast(dict[str, Any], fields)[name] for name in names]
        for each in values:
            if isinstance(each, bool) or not isinstance(each, int | float):
                raise ValueError("a price is not a number")
            if not math.isfinite(each) or each < 0:
                raise ValueError("a price is below zero or without end")
        return Prices(*map(float, values))


@dataclass(frozen=True, slots=True)
class Used:
    """Tokens of some answers; `cached` is a part of `prompt`."""

    answers: int = 0
    prompt: int = 0
    cached: int = 0
    completion: int = 0

    def plus(self, detail: Mapping[str, Any]) -> Used:
        """Add what an audit item tells of one answer."""
        return Used(
            self.answers + 1,
            self.prompt + int(detail.get("prompt_tokens") or 0),
            self.cached + int(detail.get("cached_tokens") or 0),
            self.completion + int(detail.get("completion_tokens") or 0),
        )

    def cost(self, prices: Prices) -> float:
        """US dollars."""
        fresh = max(0, self.prompt - self.cached)
        spent = fresh * prices.input + self.cached * prices.cached
        return (spent + self.completion * prices.output) / _MILLION
