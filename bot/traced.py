"""The wrappers that measure: spans and metrics around the ports, by OpenTelemetry's conventions.

A span of the store or of a request over HTTP is only a part of something: alone it is not kept.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from typing import Any, TypeVar, cast

import aiohttp
from opentelemetry.context import Context
from opentelemetry.metrics import Meter
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, get_current_span, use_span

from .course import Course, begun
from .domain.announcement import Announcement
from .domain.people import Place
from .domain.price import Prices
from .measured import MeasuredModel, ModelMetrics, failed, outcome_of, seconds, type_of
from .ports import ChatModel, Claim, Clock, Store
from .ports.outgoing import Carry, Outbox
from .telemetry import Telemetry, Work, backlog

P = TypeVar("P")
T = TypeVar("T")
FIRST_TEXT = "casemate.turn.time_to_first_text"
# A part that is only worth a span within something else.
_PARTS = ("store", "outbox")


class Told(Telemetry):
    """Measures with a tracer and a meter."""

    def __init__(self, tracer: Tracer, meter: Meter) -> None:
        self.tracer = tracer
        self.turns = seconds(meter, "casemate.turn.duration")
        self.first_text = seconds(meter, FIRST_TEXT)
        self.announced = seconds(meter, "casemate.announce.duration")
        self.calls = seconds(meter, "casemate.call.duration")
        self.requests = seconds(meter, "http.client.request.duration")
        self.asked = ModelMetrics(tracer, meter)
        self.open = meter.create_gauge("casemate.claims.open", unit="{claim}")
        self.age = meter.create_gauge("casemate.claims.oldest_age", unit="s")
        self.outbox = meter.create_gauge("casemate.outbox.depth", unit="{announcement}")
        self.http = (self._requests(),)

    def model(self, model: ChatModel, prices: Prices | None) -> ChatModel:
        """The same model, measured."""
        return MeasuredModel(self.asked, model, prices)

    def port(self, port: P, name: str) -> P:
        """The same port: every coroutine method is measured, all else is as it was."""
        return cast(P, _Port(self, port, name))

    def turn(self, work: Work[T]) -> Work[T]:
        """The same work on an activity, as a trace of its own."""

        async def traced(claim: Claim) -> T:
            kind = str(claim.body.get("type"))
            attributes = {
                "messaging.operation.type": "process",
                "messaging.message.id": claim.key,
                "messaging.message.conversation_id": claim.conversation,
                "casemate.turn.kind": kind,
                "casemate.turn.attempt": claim.attempts,
            }
            about = {"kind": kind}
            with self._trace("turn", SpanKind.CONSUMER, attributes, self.turns, about) as course:
                try:
                    return await work(claim)
                finally:
                    if course.first_text is not None:
                        waited = (course.first_text - claim.accepted).total_seconds()
                        get_current_span().set_attribute(FIRST_TEXT, waited)
                        self.first_text.record(waited)

        return traced

    def announce(self, carry: Carry) -> Carry:
        """The same way of announcing, as a trace of its own for each place and time."""

        async def traced(place: Place, due: Sequence[Announcement]) -> None:
            attributes = {
                "messaging.operation.type": "send",
                "messaging.message.conversation_id": place.conversation,
                "messaging.batch.message_count": len(due),
            }
            with self._trace("announce", SpanKind.PRODUCER, attributes, self.announced, {}):
                await carry(place, due)

        return traced

    @contextmanager
    def _trace(
        self,
        name: str,
        kind: SpanKind,
        attributes: Mapping[str, str | int],
        durations: Any,
        about: Mapping[str, str],
    ) -> Generator[Course]:
        """A trace that begins here; how it ends is what its course says."""
        began = time.monotonic()
        span = self.tracer.start_span(
            name, Context(), kind, {"messaging.system": "msteams", **attributes}
        )
        with begun() as course, _current(span):
            try:
                yield course
            except BaseException as error:
                course.errors.append(error)
                raise
            finally:
                outcome, errors = outcome_of(course.errors), course.errors
                span.set_attribute(f"casemate.{name}.outcome", outcome)
                if errors:
                    failed(span, errors[-1])
                seconds = time.monotonic() - began
                durations.record(seconds, {**about, "outcome": outcome, **type_of(errors)})
                span.end()

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
            about = {"port": self._name, "method": method, **type_of(errors)}
            self._told.calls.record(time.monotonic() - began, about)
            if span is not None:
                if errors:
                    failed(span, errors[0])
                span.end()


def _current(span: Span) -> Any:
    return use_span(span, record_exception=False, set_status_on_exception=False)
