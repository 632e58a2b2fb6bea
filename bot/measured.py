"""What is told of a failure, and of a question to the model, by OpenTelemetry's conventions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from opentelemetry.metrics import Meter
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer

from .domain.price import Prices, Used
from .domain.transcript import Message
from .errors import (
    CasemateError,
    LogsDown,
    ModelBusy,
    ModelDown,
    ModelRefused,
    SentinelBusy,
    SentinelDown,
    SentinelForbidden,
    Stopped,
    StoreError,
    Undelivered,
)
from .ports import ChatModel, Structured, Usage

# What an operator has to mend. Any other CasemateError told an analyst what to do differently.
_FAULTS = (
    StoreError,
    ModelBusy,
    ModelDown,
    ModelRefused,
    SentinelBusy,
    SentinelDown,
    SentinelForbidden,
    LogsDown,
    Undelivered,
)
_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0]


class ModelMetrics:
    """What is measured of questions to the model, and the tracer of their spans."""

    def __init__(self, tracer: Tracer, meter: Meter) -> None:
        self.tracer = tracer
        name = "gen_ai.client.operation"
        self.answers = seconds(meter, f"{name}.duration")
        self.first = seconds(meter, f"{name}.time_to_first_chunk")
        self.tokens = meter.create_histogram("gen_ai.client.token.usage", unit="{token}")
        self.cached = meter.create_counter("casemate.model.cached_tokens", unit="{token}")
        self.cost = meter.create_counter("casemate.model.cost", unit="USD")


def seconds(meter: Meter, name: str) -> Any:
    """A histogram of seconds, from five milliseconds to the five minutes a turn may take."""
    return meter.create_histogram(name, unit="s", explicit_bucket_boundaries_advisory=_SECONDS)


class MeasuredModel:
    """Stands before the model."""

    def __init__(self, told: ModelMetrics, model: ChatModel, prices: Prices | None) -> None:
        self._told, self._model, self._prices = told, model, prices

    @property
    def name(self) -> str:
        """The deployment's name."""
        return self._model.name

    async def stream(
        self, messages: Sequence[Message], *, limit: int
    ) -> AsyncGenerator[str | Usage]:
        """The model's own stream, with a span from asking to the end."""
        call = Asked(self._told, self._model.name, self._prices)
        try:
            async with aclosing(self._model.stream(messages, limit=limit)) as pieces:
                async for piece in pieces:
                    call.hear(piece)
                    yield piece
        except BaseException as error:
            call.errors.append(error)
            raise
        finally:
            call.end()

    async def structured(
        self, messages: Sequence[Message], *, name: str, schema: Mapping[str, Any], limit: int
    ) -> Structured:
        """The model's own answer, within a span."""
        call = Asked(self._told, self._model.name, self._prices)
        try:
            answer = await self._model.structured(messages, name=name, schema=schema, limit=limit)
            call.hear(answer.usage)
            return answer
        except BaseException as error:
            call.errors.append(error)
            raise
        finally:
            call.end()


class Asked:
    """One question to the model, from when it is asked."""

    def __init__(self, told: ModelMetrics, model: str, prices: Prices | None) -> None:
        self._told, self._prices = told, prices
        self._about = {"gen_ai.operation.name": "chat", "gen_ai.request.model": model}
        self._began, self._heard = time.monotonic(), False
        self.errors = list[BaseException]()
        # Never the current one: a generator's caller would find itself within it.
        self._span = told.tracer.start_span(
            f"chat {model}", kind=SpanKind.CLIENT, attributes=self._about
        )

    def hear(self, piece: str | Usage) -> None:
        """Take note of a piece of the answer, or of what it cost."""
        told, about = self._told, self._about
        if isinstance(piece, str):
            if not self._heard:
                self._heard, seconds = True, time.monotonic() - self._began
                told.first.record(seconds, about)
                self._span.set_attribute("gen_ai.response.time_to_first_chunk", seconds)
            return
        told.tokens.record(piece.prompt_tokens, {**about, "gen_ai.token.type": "input"})
        told.tokens.record(piece.completion_tokens, {**about, "gen_ai.token.type": "output"})
        told.cached.add(piece.cached_tokens, about)
        if self._prices is not None:
            used = Used(1, piece.prompt_tokens, piece.cached_tokens, piece.completion_tokens)
            told.cost.add(used.cost(self._prices), about)
        self._span.set_attributes(
            {
                "gen_ai.response.model": piece.model,
                "gen_ai.usage.input_tokens": piece.prompt_tokens,
                "gen_ai.usage.output_tokens": piece.completion_tokens,
                "gen_ai.usage.cache_read.input_tokens": piece.cached_tokens,
            }
        )

    def end(self) -> None:
        """The answer is there, or an error that was added to `errors`."""
        self._told.answers.record(
            time.monotonic() - self._began, {**self._about, **type_of(self.errors)}
        )
        if self.errors:
            failed(self._span, self.errors[0])
        self._span.end()


def outcome_of(errors: Sequence[BaseException]) -> str:
    """`ok`; `told`: an analyst read what to do differently; `stopped`; `timeout`; `failed`."""
    if not errors:
        return "ok"
    if isinstance(errors[-1], asyncio.CancelledError | GeneratorExit | Stopped):
        return "stopped"
    if isinstance(errors[-1], TimeoutError):
        return "timeout"
    told = isinstance(errors[-1], CasemateError) and not isinstance(errors[-1], _FAULTS)
    return "told" if told else "failed"


def type_of(errors: Sequence[BaseException]) -> dict[str, str]:
    """The attribute that names the last error, if there is one."""
    return {"error.type": type(errors[-1]).__name__} if errors else {}


def failed(span: Span, error: BaseException) -> None:
    """Mark a span, by the error's type alone: its message may hold a text."""
    span.set_attribute("error.type", type(error).__name__)
    if outcome_of([error]) in ("failed", "timeout"):
        span.set_status(StatusCode.ERROR)
