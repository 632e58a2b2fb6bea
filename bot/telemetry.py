"""Traces and metrics by OpenTelemetry, where the environment names somewhere to send them.

Where it names nothing, nothing is imported and nothing is wrapped. Sent are names, times, counts
and ids; never a text, nor who an analyst is. A trace begins with a turn, whatever headers came with
the request: a stranger is not to decide what is recorded. No trace context goes out either.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import aiohttp

from .azure.monitor import exporters as azure_exporters
from .domain.price import Prices
from .errors import CasemateError, StoreError
from .ports import ChatModel, Claim, Clock, Store
from .ports.outgoing import Carry, Outbox
from .settings import Settings

P = TypeVar("P")
T = TypeVar("T")
Work = Callable[[Claim], Coroutine[Any, Any, T]]

BACKLOG_SECONDS = 15.0
_FLUSH_SECONDS = 2.0


class Telemetry:
    """Tells nothing, and leaves everything as it is: what there is where nothing is configured."""

    http: Sequence[aiohttp.TraceConfig] = ()

    def model(self, model: ChatModel, prices: Prices | None) -> ChatModel:
        """The same model, measured."""
        return model

    def port(self, port: P, name: str) -> P:
        """The same port, each of its calls measured as `name.method`."""
        return port

    def turn(self, work: Work[T]) -> Work[T]:
        """The same work on an activity, as a trace of its own."""
        return work

    def announce(self, carry: Carry) -> Carry:
        """The same way of announcing, as a trace of its own for each place and time."""
        return carry

    def look_after(self, store: Store, outbox: Outbox, clock: Clock, parts: AsyncExitStack) -> None:
        """Measure from now on what waits in the store, until `parts` are closed."""


NO_TELEMETRY = Telemetry()


async def telemetry(settings: Settings, parts: AsyncExitStack) -> Telemetry:
    """Open what the settings ask for; closing `parts` sends what is left within two seconds.

    Raises CasemateError where the packages for it are not installed.
    """
    if not settings.telemetry.to:
        return NO_TELEMETRY
    try:
        return await asyncio.to_thread(_opened, settings, parts)
    except ImportError as error:
        raise CasemateError(
            f"APPLICATIONINSIGHTS_CONNECTION_STRING needs the package {error.name}: "
            "pip install -r requirements-azure-monitor.txt"
        ) from error


def _opened(settings: Settings, parts: AsyncExitStack) -> Telemetry:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from .traced import Told

    if settings.telemetry.to == "otlp":
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        spans, metrics = OTLPSpanExporter(), OTLPMetricExporter()
    else:
        spans, metrics = azure_exporters(settings.telemetry.to)
    # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES are read by the SDK itself.
    resource = Resource.create()
    if str(resource.attributes["service.name"]).startswith("unknown_service"):
        resource = resource.merge(Resource({"service.name": "casemate"}))
    # What ends the process waits for nobody: see `_closed`.
    traces = TracerProvider(resource=resource, shutdown_on_exit=False)
    readers = list[PeriodicExportingMetricReader]()
    if "traces" in settings.telemetry.signals:
        traces.add_span_processor(BatchSpanProcessor(spans))
    if "metrics" in settings.telemetry.signals:
        readers.append(PeriodicExportingMetricReader(metrics))
    meters = MeterProvider(readers, resource=resource, shutdown_on_exit=False)
    parts.push_async_callback(_closed, traces.shutdown, meters.shutdown)
    return Told(traces.get_tracer("casemate"), meters.get_meter("casemate"))


async def _closed(*shutdowns: Callable[[], Any]) -> None:
    """Send what is left; a receiver that does not answer must not keep the process from ending."""
    threads = [threading.Thread(target=each, daemon=True) for each in shutdowns]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join, _FLUSH_SECONDS / len(threads))


async def backlog(
    store: Store,
    outbox: Outbox,
    clock: Clock,
    tell: Callable[[int, float, int], None],
) -> None:
    """Tell, every 15 s, of open claims, the oldest one's age in seconds, and the outbox's depth."""
    while True:
        try:
            now = clock.now()
            oldest = await store.oldest()
            age = max(0.0, (now - oldest).total_seconds()) if oldest else 0.0
            tell(await store.backlog(), age, await outbox.depth(now))
        except StoreError:
            pass  # whoever works with the store says so; here no value is told
        await clock.sleep(BACKLOG_SECONDS)
