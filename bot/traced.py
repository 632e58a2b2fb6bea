"""The wrappers that measure: spans and metrics around the ports, by OpenTelemetry's conventions.

A span of the store or of a request over HTTP is only a part of something: alone it is not kept.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, suppress
from contextvars import ContextVar
from typing import Any, TypeVar, cast

import aiohttp
from opentelemetry.context import Context
from opentelemetry.metrics import Meter
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, get_current_span

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
    StoreError,
    Undelivered,
)
from .ports import (
    Answered,
    ChatModel,
    Claim,
    Clock,
    Courier,
    JsonObject,
    Respond,
    Said,
    Store,
    Structured,
    Usage,
)
from .ports.outgoing import Outbox
from .telemetry import Telemetry, Work, backlog

P = TypeVar("P")
# A part that is only worth a span within something else.
_PARTS = ("store", "outbox")
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

# Errors met while a turn is worked on; the dialogs' tasks share the turn's own list.
_errors: ContextVar[list[BaseException]] = ContextVar("errors")


class Told(Telemetry):
    """Measures with a tracer and a meter."""

    def __init__(self, tracer: Tracer, meter: Meter) -> None:
        self.tracer = tracer

        def seconds(name: str) -> Any:
            return meter.create_histogram(
                name, unit="s", explicit_bucket_boundaries_advisory=_SECONDS
            )

        self.turns = seconds("casemate.turn.duration")
        self.calls = seconds("casemate.call.duration")
        self.requests = seconds("http.client.request.duration")
        self.answers = seconds("gen_ai.client.operation.duration")
        self.first = seconds("gen_ai.client.operation.time_to_first_chunk")
        self.tokens = meter.create_histogram("gen_ai.client.token.usage", unit="{token}")
        self.cached = meter.create_counter("casemate.model.cached_tokens", unit="{token}")
        self.cost = meter.create_counter("casemate.model.cost", unit="USD")
        self.open = meter.create_gauge("casemate.claims.open", unit="{claim}")
        self.age = meter.create_gauge("casemate.claims.oldest_age", unit="s")
        self.outbox = meter.create_gauge("casemate.outbox.depth", unit="{announcement}")
        self.http = (self._requests(),)

    def model(self, model: ChatModel, prices: Prices | None) -> ChatModel:
        """The same model, measured."""
        return _Model(self, model, prices)

    def port(self, port: P, name: str) -> P:
        """The same port: every coroutine method is measured, all else is as it was."""
        return cast(P, _Port(self, port, name))

    def turn(self, work: Work) -> Work:
        """The same work on a claim, as a trace of its own."""

        async def traced(claim: Claim) -> JsonObject | None:
            attributes = {
                "messaging.system": "msteams",
                "messaging.operation.type": "process",
                "messaging.message.id": claim.key,
                "messaging.message.conversation_id": claim.conversation,
                "casemate.turn.attempt": claim.attempts,
            }
            began, errors = time.monotonic(), list[BaseException]()
            token = _errors.set(errors)
            with self.tracer.start_as_current_span(
                "turn",
                context=Context(),
                kind=SpanKind.CONSUMER,
                attributes=attributes,
                record_exception=False,
                set_status_on_exception=False,
            ) as span:
                try:
                    return await work(claim)
                except BaseException as error:
                    errors.append(error)
                    raise
                finally:
                    _errors.reset(token)
                    outcome = _outcome(errors)
                    span.set_attribute("casemate.turn.outcome", outcome)
                    if errors:
                        _failed(span, errors[-1], outcome == "failed")
                    self.turns.record(
                        time.monotonic() - began, {"outcome": outcome, **_type(errors)}
                    )

        return traced

    def respond(self, respond: Respond) -> Respond:
        """The same dialogs; how they ended is the turn's outcome."""

        async def traced(said: Said, courier: Courier) -> Answered:
            try:
                return await respond(said, courier)
            except BaseException as error:
                if (errors := _errors.get(None)) is not None:
                    errors.append(error)
                raise

        return traced

    def look_after(self, store: Store, outbox: Outbox, clock: Clock, parts: AsyncExitStack) -> None:
        """Measure from now on what waits in the store."""

        def tell(claims: int, age: float, depth: int) -> None:
            self.open.set(claims)
            self.age.set(age)
            self.outbox.set(depth)

        task = asyncio.create_task(backlog(store, outbox, clock, tell))

        async def end() -> None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

        parts.push_async_callback(end)

    def _requests(self) -> aiohttp.TraceConfig:
        """Requests over HTTP: host, method and status, no path."""
        config = aiohttp.TraceConfig()

        async def start(_: Any, context: Any, params: aiohttp.TraceRequestStartParams) -> None:
            context.began = time.monotonic()
            context.about = {
                "http.request.method": params.method,
                "server.address": params.url.host or "",
            }
            context.span = None
            if get_current_span().is_recording():
                context.span = self.tracer.start_span(
                    params.method, kind=SpanKind.CLIENT, attributes=context.about
                )

        def done(context: Any, said: Mapping[str, Any], bad: bool) -> None:
            self.requests.record(time.monotonic() - context.began, {**context.about, **said})
            if context.span is not None:
                context.span.set_attributes(said)
                if bad:
                    context.span.set_status(StatusCode.ERROR)
                context.span.end()

        async def end(_: Any, context: Any, params: aiohttp.TraceRequestEndParams) -> None:
            status = params.response.status
            done(context, {"http.response.status_code": status}, status >= 400)

        async def broke(_: Any, context: Any, params: aiohttp.TraceRequestExceptionParams) -> None:
            done(context, {"error.type": type(params.exception).__name__}, True)

        config.on_request_start.append(start)
        config.on_request_end.append(end)
        config.on_request_exception.append(broke)
        return config


class _Port:
    """Stands before any port; `name` is the first half of its spans' names."""

    def __init__(self, told: Told, port: Any, name: str) -> None:
        self._told, self._port, self._name = told, port, name

    def __getattr__(self, method: str) -> Any:
        inner = getattr(self._port, method)
        if not inspect.iscoroutinefunction(inner):
            return inner

        async def call(*given: Any, **named: Any) -> Any:
            return await self._call(method, inner, given, named)

        self.__dict__[method] = call
        return call

    async def _call(self, method: str, inner: Any, given: Any, named: Any) -> Any:
        span, began, errors = None, time.monotonic(), list[BaseException]()
        if self._name not in _PARTS or get_current_span().is_recording():
            span = self._told.tracer.start_span(f"{self._name}.{method}")
        try:
            if span is None:
                return await inner(*given, **named)
            with _current(span):
                return await inner(*given, **named)
        except BaseException as error:
            errors.append(error)
            raise
        finally:
            about = {"port": self._name, "method": method, **_type(errors)}
            self._told.calls.record(time.monotonic() - began, about)
            if span is not None:
                if errors:
                    _failed(span, errors[0], _outcome(errors) == "failed")
                span.end()


class _Model:
    """Stands before the model."""

    def __init__(self, told: Told, model: ChatModel, prices: Prices | None) -> None:
        self._told, self._model, self._prices = told, model, prices

    @property
    def name(self) -> str:
        return self._model.name

    async def stream(
        self, messages: Sequence[Message], *, limit: int
    ) -> AsyncGenerator[str | Usage]:
        call = _Call(self._told, self._model.name, self._prices)
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
        call = _Call(self._told, self._model.name, self._prices)
        try:
            answer = await self._model.structured(messages, name=name, schema=schema, limit=limit)
            call.hear(answer.usage)
            return answer
        except BaseException as error:
            call.errors.append(error)
            raise
        finally:
            call.end()


class _Call:
    """One question to the model, from when it is asked."""

    def __init__(self, told: Told, model: str, prices: Prices | None) -> None:
        self._told, self._prices = told, prices
        self._about = {"gen_ai.operation.name": "chat", "gen_ai.request.model": model}
        self._began, self._heard = time.monotonic(), False
        self.errors = list[BaseException]()
        # Never the current one: a generator's caller would find itself within it.
        self._span = told.tracer.start_span(
            f"chat {model}", kind=SpanKind.CLIENT, attributes=self._about
        )

    def hear(self, piece: str | Usage) -> None:
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
        self._told.answers.record(
            time.monotonic() - self._began, {**self._about, **_type(self.errors)}
        )
        if self.errors:
            _failed(self._span, self.errors[0], _outcome(self.errors) == "failed")
        self._span.end()


def _current(span: Span) -> Any:
    from opentelemetry.trace import use_span

    return use_span(span, record_exception=False, set_status_on_exception=False)


def _outcome(errors: Sequence[BaseException]) -> str:
    """`ok`; `told`: an analyst read what to do differently; `stopped`; `failed`."""
    if not errors:
        return "ok"
    if isinstance(errors[-1], asyncio.CancelledError | GeneratorExit):
        return "stopped"
    told = isinstance(errors[-1], CasemateError) and not isinstance(errors[-1], _FAULTS)
    return "told" if told else "failed"


def _type(errors: Sequence[BaseException]) -> dict[str, str]:
    return {"error.type": type(errors[-1]).__name__} if errors else {}


def _failed(span: Span, error: BaseException, bad: bool) -> None:
    """Mark a span, by the error's type alone: its message may hold a text."""
    span.set_attribute("error.type", type(error).__name__)
    if bad:
        span.set_status(StatusCode.ERROR)
